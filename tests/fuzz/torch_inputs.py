"""Hostile torch files: tensors of every kind, state dicts in every wrapping."""

from __future__ import annotations

import io
import warnings
import zipfile
from random import Random
from typing import Any

from . import grammar as g


def state(rng: Random) -> dict[Any, Any]:
    """Draw a state dict, with other things among its tensors."""
    names = ["a", "b", "features.0", "0"]
    found: dict[Any, Any] = {}
    for name in names[: rng.randint(1, 3)]:
        found[f"{name}.weight"] = tensor(rng)
        if g.chance(rng, 0.2):
            role = rng.choice(
                ["mask", "score", "bias", "order", "weight_orig", "rates"]
            )
            found[f"{name}.{role}"] = tensor(rng)
    if g.chance(rng, 0.2):
        key: Any = rng.choice([g.text(rng), 3, None, (1, 2), 1.5])
        found[key] = rng.choice([tensor(rng), g.number(rng), [tensor(rng)], {}, None])
    return found


def tensor(rng: Random) -> Any:
    """Draw a tensor; every second one is plain."""
    import torch

    shape = rng.choice(
        [(8, 4, 3, 3), (10, 32), (8, 8), (4, 4), (8,), (), (0, 8), (2,) * 9]
    )
    plain = torch.ones(shape)
    if g.chance(rng, 0.5):
        return plain
    kinds = [
        lambda: torch.ones(1).expand(
            2 ** rng.choice([10, 20, 34]), 2 ** rng.choice([2, 20])
        ),
        lambda: torch.ones(8, 8).to_sparse(),
        lambda: torch.ones(8, 8).to_sparse_csr(),
        lambda: torch.ones(8, 8).to_sparse_bsr((2, 2)),
        lambda: torch.ones(8, 8, dtype=torch.complex64).conj(),
        lambda: torch.ones(8, 8, dtype=torch.complex64).conj().imag,
        lambda: torch.empty(8, 8, device="meta"),
        lambda: torch.empty(2**30, 2**20, device="meta"),
        lambda: torch.ones(8, 8).to(torch.float8_e4m3fn),
        lambda: torch.ones(8, 8).to(torch.bfloat16),
        lambda: torch.quantize_per_tensor(torch.ones(8, 8), 0.1, 0, torch.qint8),
        lambda: torch.ones(8, 8).to(rng.choice([torch.bool, torch.int8, torch.int64])),
        lambda: torch.full(
            (8, 8), rng.choice([float("nan"), float("inf"), 1e38, -1e-45])
        ),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda: torch.ones(8, 8).t(),
        lambda: torch.ones(8, 8)[::2, ::3],
        lambda: torch.nn.Parameter(torch.ones(8, 8)),
        lambda: torch.sparse_coo_tensor(
            torch.zeros(2, 0, dtype=torch.long), torch.ones(0), (2**30, 2**30)
        ),
    ]
    return rng.choice(kinds)()


def checkpoint(rng: Random) -> Any:
    """Wrap a state dict as checkpoints do, or worse."""
    made: Any = state(rng)
    for _ in range(rng.choice([0, 0, 0, 1, 2, 7])):
        key: Any = rng.choice(["state_dict", "model", "net", "x", g.text(rng)])
        made = {key: made}
        if g.chance(rng, 0.2):
            made["other"] = rng.choice([state(rng), g.value(rng), {"y": state(rng)}])
    if g.chance(rng, 0.03):
        deep: Any = made
        for _ in range(rng.choice([100, 800])):
            deep = {"a": deep} if g.chance(rng, 0.5) else [deep]
        made = deep
    if g.chance(rng, 0.03):
        made = {"model": made}
        made["model"]["model"] = made  # holds itself
    if g.chance(rng, 0.05):
        made = rng.choice([tensor(rng), [made], None, 3, "x", {}, Random, print])
    return made


def torch_file(rng: Random) -> bytes:
    """Write a checkpoint, and damage the zip, the pickle in it, or nothing."""
    import torch

    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = g.chance(rng, 0.1)
        try:
            torch.save(checkpoint(rng), packed, _use_new_zipfile_serialization=not old)
        except Exception:  # what torch cannot write is no input
            return b"PK\3\4"
    whole = packed.getvalue()
    if not old and g.chance(rng, 0.3):
        whole = _repacked(rng, whole)
    return g.maybe_damaged(rng, whole, 0.2)


def changed_file(rng: Random, good: bytes) -> bytes:
    """Change what a checkpoint holds, its checksums being right, or damage it."""
    import torch

    if g.chance(rng, 0.25):
        return g.damaged(rng, good) if g.chance(rng, 0.5) else _repacked(rng, good)
    known = torch.load(io.BytesIO(good), weights_only=True)
    packed = io.BytesIO()
    try:
        for _ in range(rng.choice([1, 1, 2])):
            known = _changed(rng, known)
        torch.save(known, packed)
    except Exception:  # what torch cannot change or write is no input
        return g.damaged(rng, good)
    return packed.getvalue()


def _changed(rng: Random, known: Any) -> Any:
    """Replace, drop or add one part, at any depth."""
    import torch

    if isinstance(known, dict) and known and g.chance(rng, 0.95):
        key = rng.choice([*known])
        action = rng.randint(0, 9)
        if action == 0:
            return {k: v for k, v in known.items() if k != key}
        if action == 1:
            return {**known, g.text(rng): tensor(rng)}
        return {**known, key: _changed(rng, known[key])}
    if isinstance(known, torch.Tensor) and known.numel() and g.chance(rng, 0.5):
        floating = known.is_floating_point()
        number = rng.choice([0, 1, *([-1, 1e38, float("nan")] if floating else [])])
        return rng.choice(
            [
                lambda: known.flatten()[:-1],
                lambda: known[None],
                lambda: torch.zeros_like(known),
                lambda: torch.full_like(known, number),
                lambda: known.double(),
                lambda: known.to(torch.int64),
            ]
        )()
    return rng.choice([tensor, g.number, g.value, state])(rng)


def _repacked(rng: Random, whole: bytes) -> bytes:
    """Damage one member of the archive, its checksum being right."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        chosen = rng.choice([n for n in names if n.endswith(".pkl")] * 5 + names)
        for name in names:
            data = old.read(name)
            if name == chosen:
                data = b"" if g.chance(rng, 0.1) else g.damaged(rng, data)
            if name != chosen or g.chance(rng, 0.95):
                new.writestr(name, data)
    return packed.getvalue()
