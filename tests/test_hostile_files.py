"""Files that went wrong once: each ends in one line that says what is wrong.

Small re-creations, written here: headers that claim what is not there, archives that
cannot be unpacked, structures that are too deep, numbers that are too large.
"""

import io
import json
import re
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

import cli

STEADY = np.random.default_rng(0)
NETWORK = {"architecture": "8c3-fc10", "input_shape": [4, 2, 2], "timesteps": 4}


def weights(*shape):
    """Draw weights that are not zero."""
    return (STEADY.random(shape) + 0.1).astype(np.float32)


def npy(header, data=b"", text=None):
    """Write an array with any header."""
    said = (repr(header) if text is None else text).encode()
    said += b" " * (-(len(said) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + data


def header(kind="<f4", shape=(8, 8)):
    """Describe an array as NumPy does."""
    return {"descr": kind, "fortran_order": False, "shape": shape}


GOOD = npy(header(), weights(8, 8).tobytes())


def archive(*members):
    """Pack arrays as NumPy does."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return packed.getvalue()


def patched(**places):
    """Change bytes of a good archive, in its local header and in its directory."""
    raw = bytearray(archive(("a.weight.npy", GOOD)))
    directory = raw.find(b"PK\1\2")
    for name, value in places.items():
        local = {"flags": 6, "method": 8}[name]
        raw[local] = raw[directory + local + 2] = value
    return bytes(raw)


def broken_deflate():
    """Overwrite compressed bytes."""
    raw = bytearray(archive(("a.weight.npy", GOOD)))
    raw[60:120] = b"\xff" * 60
    return bytes(raw)


def safetensors(said, data=b""):
    """Write a file with any header."""
    text = json.dumps(said).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(kind, shape, size):
    """Describe an array as safetensors does."""
    return {"dtype": kind, "shape": shape, "data_offsets": [0, size]}


NPZ = {
    "claims": (
        archive(("a.weight.npy", npy(header(shape=(10**6, 10**6)), bytes(256)))),
        "is said to have shape (1000000, 1000000), 4,000,000,000,000 bytes, but holds",
    ),
    "float_shape": (
        archive(("a.weight.npy", npy(header(shape=(8.0, 8)), bytes(256)))),
        "shape is not valid",
    ),
    "huge_shape": (
        archive(("a.weight.npy", npy(header(shape=(10**30, 8)), bytes(256)))),
        "but holds 256",
    ),
    "void": (archive(("a.weight.npy", npy(header("|V4"), bytes(256)))), "no numbers"),
    "void_mask": (
        archive(("a.weight.npy", GOOD), ("a.mask.npy", npy(header("|V1"), bytes(64)))),
        "no numbers",
    ),
    "bad_header": (
        archive(("a.weight.npy", npy(None, bytes(256), "((((("))),
        "no readable .npz",
    ),
    "objects": (archive(("a.weight.npy", npy(header("|O"), bytes(512)))), "unpickled"),
    "encrypted": (patched(flags=1), "encrypted"),
    "method98": (patched(method=98), "compressed by method 98; stored (0) or deflated"),
    "bad_deflate": (broken_deflate(), "no readable .npz"),
    "empty": (b"", "is empty"),
}
SAFETENSORS = {
    "empty_layer": (
        safetensors({"a.weight": entry("F32", [2**40, 0], 0)}),
        "a.weight (empty)",
    ),
    "outside": (safetensors({"a.weight": entry("F32", [8, 8], 2**40)}), "no readable"),
    "too_short": (struct.pack("<Q", 2**62) + b"{", "no readable safetensors"),
}


def one_line(argv, capsys):
    """Run a command that must refuse; return its status and its line."""
    status = cli.main([str(one) for one in argv])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert len(err) < 2500
    return status, err


@pytest.mark.parametrize("name", [*NPZ, *SAFETENSORS])
@pytest.mark.parametrize("command", ["balance", "evaluate"])
def test_damaged_arrays_are_named(name, command, tmp_path, capsys):
    """What cannot be read is one line with the file's name; nothing is written."""
    data, said = {**NPZ, **SAFETENSORS}[name]
    path = tmp_path / f"{name}{'.npz' if name in NPZ else '.safetensors'}"
    path.write_bytes(data)
    out = ["--out", tmp_path / "out"] if command == "balance" else []
    status, line = one_line([command, path, *out], capsys)
    assert status == 1
    assert path.name in line
    assert said in line
    assert [*tmp_path.iterdir()] == [path]


def test_a_claim_to_unpack_to_more_is_refused(tmp_path, capsys):
    """An archive may not promise more than deflate can make of its bytes."""
    raw = bytearray(archive(("a.weight.npy", GOOD)))
    directory = raw.find(b"PK\1\2")
    struct.pack_into("<I", raw, directory + 24, 2**31 - 1)
    path = tmp_path / "bomb.npz"
    path.write_bytes(raw)
    status, line = one_line(["evaluate", path], capsys)
    assert status == 1
    assert "is said to unpack from" in line


@pytest.mark.parametrize(
    ("role", "shape"), [("mask", 64), ("score", 64), ("mask", (8, 7))]
)
def test_arrays_of_other_shapes_are_not_dropped(role, shape, tmp_path, capsys):
    """A mask or scores that do not fit the weights are an error, never left out."""
    path = tmp_path / "a.safetensors"
    of_role = np.ones(shape, bool if role == "mask" else np.float32)
    save_file({"a.weight": weights(8, 8), f"a.{role}": of_role}, path)
    status, line = one_line(["balance", path, "--out", tmp_path / "o"], capsys)
    assert status == 1
    assert "mask and score of a layer need the same" in line


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({**NETWORK, "timesteps": 10**9, "spike_rates": {"b": 0.2}}, "time steps"),
        ({**NETWORK, "timesteps": [1]}, "a whole number from 1 is needed"),
        ({**NETWORK, "timesteps": True}, "a whole number from 1 is needed"),
        ({**NETWORK, "spike_rates": 3}, "between 0 and 1"),
        ({**NETWORK, "spike_rates": {"b": "often"}}, "holds no numbers"),
        ({"architecture": "8c3", "input_shape": [4, 10**12, 10**12]}, "too many"),
        (
            {"architecture": "8c3", "input_shape": [4, 20_000, 20_000]},
            "has 1,600,320,016 inputs; at most 268,435,456 are accepted",
        ),
    ],
)
def test_numbers_of_metadata_are_checked(about, said, tmp_path, capsys):
    """What a ticket says of time and sizes is refused before memory is taken for it."""
    arrays = {"a.weight": weights(8, 4, 3, 3)}
    if "fc" in about["architecture"]:
        arrays["b.weight"] = weights(10, 32)
    path = tmp_path / "a.safetensors"
    save_file(arrays, path, {"ticket": json.dumps(about)})
    status, line = one_line(["evaluate", path], capsys)
    assert status == 1
    assert said in line


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "3",
        "[1]",
        "null",
        '{"layers": 3}',
        '{"input_shape": 3}',
        "9" * 5000,
    ],
)
def test_metadata_of_another_form_say_nothing(text, tmp_path, capsys):
    """Metadata that are no mapping, too deep or of other types count as none."""
    path = tmp_path / "a.npz"
    about = np.array(json.dumps({"ticket": text}))
    np.savez(path, **{"a.weight": weights(8, 8), "__metadata__": about})
    assert cli.main(["evaluate", str(path), "--json"]) == 0
    json.loads(capsys.readouterr().out)


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "more than 262,144 values"),
        (LAUGHS + "name: *i\n", "more than 262,144 values"),
        ("a: &a [*a]", "more than 64 lists and mappings"),
        ("[" * 100_000, "too deep in each other"),
        ("a: " + "9" * 5000, "no YAML: Exceeds the limit"),
        ("a: 2001-99-99", "no YAML: month must be in 1..12"),
        ("a" * 300_000, "is longer than 262,144 bytes"),
        ('a: "\\ud800"', "half of a UTF-16 pair"),
        (
            "!!python/object/apply:os.system ['true']",
            "could not determine a constructor",
        ),
    ],
)
def test_hostile_yaml_is_refused_at_once(text, said, tmp_path, capsys):
    """Aliases that multiply, endless brackets and dates that are none are one line."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    for argv in (["accelerators", path], ["evaluate", "--accelerator", path]):
        status, line = one_line(argv, capsys)
        assert status == 1
        assert said in line
        assert "mine.yaml" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 3000, "too deep in each other"),
        ("pes = [8", "no TOML"),
        ("seed = " + "9" * 5000, "no TOML: Exceeds the limit"),
        ("strange = 1", "no field is named 'strange'"),
    ],
)
def test_a_file_of_options_is_wrong_usage(text, said, tmp_path, capsys):
    """TOML says what is asked: wrong syntax and wrong fields both are status 2."""
    path = tmp_path / "asked.toml"
    path.write_text(text)
    status, line = one_line(["sweep", path, "--out", tmp_path / "o"], capsys)
    assert (status, "asked.toml" in line, said in line) == (2, True, True)
    pytest.importorskip("spikingjelly")
    status, line = one_line(["lottery", "--config", path, "--out", tmp_path], capsys)
    assert (status, "asked.toml" in line, said in line) == (2, True, True)


def test_spikes_may_not_claim_what_is_not_there(tmp_path, capsys):
    """Shapes of packed spikes are held against their bytes before they are unpacked."""
    ticket, spikes = tmp_path / "a.npz", tmp_path / "spikes.npz"
    np.savez(ticket, **{"b.weight": weights(10, 32)})
    bits = {"b.bits": np.zeros(0, np.uint8), "b.shape": np.array([2**32, 2**32])}
    np.savez(spikes, **bits)
    status, line = one_line(["evaluate", ticket, "--spikes", spikes], capsys)
    assert status == 1
    assert "b.bits has 0 bytes for shape (4294967296, 4294967296)" in line


def test_a_long_name_is_cut_in_errors(tmp_path, capsys):
    """A message is a line that can be read, however long the names in a file are."""
    path = tmp_path / "a.safetensors"
    name = "a" * 70_000
    save_file({f"{name}.weight": weights(8, 8), f"{name}.mask": np.ones((8, 7))}, path)
    status, line = one_line(["evaluate", path], capsys)
    assert status == 1
    assert "aaa … aaa" in line


@pytest.mark.parametrize("budget", ["1e300", "1e-300", "inf", "nan", "-1", "0"])
def test_budgets_far_off_are_answered_or_refused(budget, tmp_path, capsys):
    """A budget of any size gives valid JSON, or one line."""
    path = tmp_path / "a.npz"
    np.savez(path, **{"a.weight": weights(8, 4, 3, 3), "b.weight": weights(10, 32)})
    argv = ["balance", str(path), "--global", f"--latency-budget={budget}", "--json"]
    status = cli.main([*argv, "--sparsity", "0.5", "--out", str(tmp_path / "o")])
    out, err = capsys.readouterr()
    if status == 0:
        json.loads(out, parse_constant=pytest.fail)
    else:
        assert status in (1, 2)
        assert err.count("\n") == 1


def test_fp8_weights_and_layers_of_zeros_are_balanced(tmp_path, capsys):
    """What is unusual but has a meaning is a result, in JSON of the standard."""
    fp8, zeros = tmp_path / "fp8.safetensors", tmp_path / "zeros.safetensors"
    fp8.write_bytes(safetensors({"a.weight": entry("F8_E4M3", [8, 8], 64)}, bytes(64)))
    save_file({"a.weight": np.zeros((8, 8), np.float32)}, zeros)
    for path in (fp8, zeros):
        out = ["--out", str(tmp_path / path.stem)]
        for argv in (["balance", str(path), *out], ["evaluate", str(path)]):
            assert cli.main([*argv, "--json"]) == 0
            json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_a_shard_with_a_name_that_no_file_has_is_missing(tmp_path, capsys):
    """Names of other files in a file may be of any length."""
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a.weight": "x" * 70_000}}))
    status, line = one_line(["evaluate", path], capsys)
    assert status == 1
    assert "are missing; put them beside it" in line


def masked(suffix, true):
    """Write scores and a mask, with any byte for true."""
    fixed = np.random.default_rng(1)
    scores = (fixed.random((8, 8)) + 0.1).astype("<f4").tobytes()
    mask = ((fixed.random((8, 8)) < 0.7) * true).astype(np.uint8).tobytes()
    if suffix == ".npz":
        members = (header(), scores), (header("|b1"), mask)
        names = ("a.score.npy", "a.mask.npy")
        return archive(*zip(names, (npy(*one) for one in members), strict=True))
    told = {
        "a.score": entry("F32", [8, 8], 256),
        "a.mask": {**entry("BOOL", [8, 8], 0), "data_offsets": [256, 320]},
    }
    return safetensors(told, scores + mask)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_any_byte_but_zero_is_true(suffix, tmp_path, capsys):
    """A mask of other bytes than 0 and 1 is balanced like the one that it means."""
    found = []
    for name, true in (("plain", 1), ("other", 0xFF)):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(masked(suffix, true))
        argv = ["balance", str(path), "--nested", "--pes", "4", "--json"]
        assert cli.main([*argv, "--out", str(tmp_path / name)]) == 0
        [layer] = json.loads(capsys.readouterr().out)["layers"]
        found.append({k: v for k, v in layer.items() if k != "seconds"})
    assert found[0] == found[1]
    assert found[0]["nonzeros"] > 0


def test_metadata_that_are_no_text_are_refused(tmp_path, capsys):
    """NumPy takes any four bytes for a character, and Python's texts break of them."""
    told = {"descr": "<U1", "fortran_order": False, "shape": ()}
    path = tmp_path / "a.npz"
    text = npy(told, b"\xff\xff\xff\x7f")
    path.write_bytes(archive(("a.weight.npy", GOOD), ("__metadata__.npy", text)))
    status, line = one_line(["evaluate", path], capsys)
    assert (status, "a.npz" in line, "metadata are no text" in line) == (1, True, True)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--pes", str(10**30)], "more than the 2147483647 that"),
        (["--pes", str(2**31)], "more than the 2147483647 that"),
        (["--global", "--frontier", str(10**6)], "--frontier is 1000000; the most is"),
    ],
)
def test_numbers_beyond_any_array_are_refused(option, said, tmp_path, capsys):
    """What would take for ever, or no array could count, is refused at once."""
    path = tmp_path / "a.npz"
    np.savez(path, **{"a.weight": weights(8, 4, 3, 3), "b.weight": weights(10, 32)})
    status, line = one_line(["balance", path, "--out", tmp_path / "o", *option], capsys)
    assert (status, said in line) == (2, True)


def test_widths_beyond_any_memory_are_refused(tmp_path, capsys):
    """Numbers of a description are multiplied with counts in 64 bits."""
    path = tmp_path / "mine.yaml"
    assert cli.main(["accelerators", "u-ticket"]) == 0
    text = capsys.readouterr().out
    path.write_text(re.sub(r"weight_bits: \d+", f"weight_bits: {10**30}", text))
    status, line = one_line(["evaluate", "--accelerator", path], capsys)
    assert (status, "mine.yaml" in line, "weight_bits" in line) == (1, True, True)
