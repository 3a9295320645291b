"""Hostile YAML, TOML, JSON and lines of JSON."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

from . import grammar as g

SPECIAL_YAML = (
    *(
        "a: &a [*a]",
        "&a {*a : 1}",
        "!!python/object/apply:os.system ['true']",
        "? [a]\n: b",
    ),
    *(
        "a: 2001-99-99",
        "a: !!int x",
        "a: !!float x",
        "a: !!binary x",
        "a: !!timestamp x",
    ),
    *(
        "<<: 1",
        "<<: [a]",
        "a: =",
        "a: *b",
        "--- a\n--- b",
        "%YAML 9.9\n---\na",
        "a: 190:99",
    ),
    *(
        "a: !!set {1}",
        "a: !!omap [1]",
        "a: !!bool x",
        "a: 0b2",
        "a: 0x",
        "a: 1_0",
        "\ta: 1",
    ),
    *("a: !!null x", "!!map [1]", "a: !!pairs [1, 2]", "a: 0o9", "a: 09", "a: ._"),
)


def bomb(rng: Random) -> str:
    """Write aliases of aliases: a short text that stands for billions of nodes."""
    rounds, each = rng.choice([3, 8, 30]), rng.choice([2, 9])
    lines = ["a0: &a0 [x, x]"]
    for i in range(rounds):
        lines.append(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * each)}]")
    field = rng.choice(["name", "array", "group", "layers", "pe", "input_shape", "b"])
    return "\n".join([*lines, f"{field}: *a{rounds}", ""])


def yaml_text(rng: Random, known: Any) -> bytes:
    """Write a document that is wrong in its values, its syntax, or nowhere."""
    import yaml

    kind = rng.randint(0, 19)
    if kind == 0:
        text = bomb(rng)
    elif kind == 1:
        text = g.nested(
            rng, rng.choice(["[", "{a: ", "- ", "? ", "!a ", "&a [", "*a"]), "]"
        )
    elif kind == 2:
        text = rng.choice(SPECIAL_YAML)
    elif kind == 3:
        text = f"{yaml.safe_dump(known)}\n{rng.choice(SPECIAL_YAML)}\n"
    elif kind == 4:
        text = f"a: {'9' * rng.choice([400, 5000, 100_000])}\n"
    else:
        made = g.mutated(rng, known)
        try:
            text = yaml.safe_dump(made, default_flow_style=rng.choice([None, True]))
        except (ValueError, yaml.YAMLError):
            text = json.dumps(made)
    return g.maybe_damaged(rng, text.encode("utf-8", "replace"), 0.2)


def toml_text(rng: Random, known: dict[str, Any]) -> bytes:
    """Write a document that is wrong in its values, its syntax, or nowhere."""
    kind = rng.randint(0, 19)
    if kind == 0:
        text = "a = " + g.nested(rng, rng.choice(["[", "{a=", '"']), "]")
    elif kind == 1:
        text = f"seed = {'9' * rng.choice([400, 5000, 100_000])}\n"
    elif kind == 2:
        text = ".".join(["a"] * rng.choice([9, 3000])) + " = 1\n"
    elif kind == 3:
        text = "[" + ".".join(["a"] * rng.choice([9, 3000])) + "]\nb = 1\n"
    else:
        made = g.mutated(rng, known)
        made = made if isinstance(made, dict) else known
        text = "".join(f"{_key(k)} = {_toml(v)}\n" for k, v in made.items())
        if g.chance(rng, 0.1):
            text += rng.choice(
                [
                    "a = 1\na = 2\n",
                    "[a]\n[a]\n",
                    "a.b=1\na=2\n",
                    "a = 1979-99-99\n",
                    "a = 25:61:00\n",
                    "a = 0x\n",
                    "a = '''",
                    "\x00",
                    'a = "\\ud800"',
                ]
            )
    return g.maybe_damaged(rng, text.encode("utf-8", "replace"), 0.2)


def _key(name: str) -> str:
    plain = name.replace(".", "").replace("_", "")
    return name if plain.isascii() and plain.isalnum() else json.dumps(name)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return '""' if value is None else json.dumps(value)


def json_text(rng: Random, known: Any) -> bytes:
    """Write one document."""
    if g.chance(rng, 0.05):
        return g.nested(rng, rng.choice(["[", '{"a":']), "]").encode()
    if g.chance(rng, 0.03):
        return b"9" * rng.choice([400, 5000])
    text = json.dumps(g.mutated(rng, known)).encode("utf-8", "replace")
    return g.maybe_damaged(rng, text, 0.2)


def json_lines(rng: Random, known: list[Any]) -> bytes:
    """Write lines, some of them wrong or cut off."""
    lines = [
        json_text(rng, one) if g.chance(rng, 0.3) else json.dumps(one).encode()
        for one in known
    ]
    return b"\n".join(lines) + rng.choice([b"\n", b"", b"\r\n", b"\n\n", b"\x00"])
