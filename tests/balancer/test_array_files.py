"""Arrays are read in every format of numbers that has an exact meaning."""

import json
import math
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from balancer import TicketError, open_ticket
from balancer.files.array_files import (
    ArraysInMemory,
    open_arrays,
    save_arrays,
)
from balancer.files.safetensors_files import SafetensorsFile


def stored(path, kind, numbers, shape, name="a.weight"):
    """Write one array of a kind that NumPy may lack."""
    data = {"dtype": kind, "shape": shape, "data_offsets": [0, len(numbers)]}
    header = json.dumps({"__metadata__": {"by": "hand"}, name: data}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + numbers)
    return path


def float_of(code, exponent_bits, fraction_bits):
    """Value of a small floating-point number, as IEEE 754 defines it."""
    bias = 2 ** (exponent_bits - 1) - 1
    exponent = code >> fraction_bits & 2**exponent_bits - 1
    fraction = (code & 2**fraction_bits - 1) / 2**fraction_bits
    sign = -1.0 if code >> exponent_bits + fraction_bits else 1.0
    if exponent == 0:
        return sign * fraction * 2.0 ** (1 - bias)
    return sign * (1 + fraction) * 2.0 ** (exponent - bias)


def e4m3(code):
    """No infinity: the largest exponent is a number but for the last fraction."""
    return math.nan if code & 127 == 127 else float_of(code, 4, 3)


def e5m2(code):
    """As in IEEE 754, infinity and what is no number."""
    if code & 127 > 124:
        return math.nan
    infinite = math.copysign(math.inf, float_of(code, 5, 2))
    return infinite if code & 127 == 124 else float_of(code, 5, 2)


def e8m0(code):
    """A power of two."""
    return math.nan if code == 255 else 2.0 ** (code - 127)


@pytest.mark.parametrize(
    ("kind", "value"), [("F8_E4M3", e4m3), ("F8_E5M2", e5m2), ("F8_E8M0", e8m0)]
)
def test_every_fp8_number_is_widened_exactly(tmp_path, kind, value):
    """All 256 codes of a kind mean what its definition says."""
    path = stored(tmp_path / "w.safetensors", kind, bytes(range(256)), [16, 16])
    read = SafetensorsFile(path).read("a.weight")
    assert (read.dtype, read.shape) == (np.float32, (16, 16))
    expected = np.array([value(code) for code in range(256)], np.float32)
    np.testing.assert_array_equal(read.ravel(), expected)


def test_bf16_is_widened_exactly(tmp_path):
    """Every bf16 number is the float32 with zeros behind it, and scores as it."""
    numbers = np.array([1.5, -2.0, 0.0, -3e38, 1e-40, 0.1], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype("<u2")
    path = stored(tmp_path / "w.safetensors", "BF16", upper.tobytes(), [2, 3])
    expected = (upper.astype(np.uint32) << 16).view(np.float32).reshape(2, 3)
    assert expected[0].tolist() == [1.5, -2.0, 0.0]
    read = open_ticket(path).layers[0].read()
    np.testing.assert_array_equal(read.scores, np.abs(expected))
    np.testing.assert_array_equal(read.mask, expected != 0)


def test_formats_without_a_meaning_here_are_named(tmp_path):
    """An array of 4-bit numbers is refused in a line with file, name and kind."""
    path = stored(tmp_path / "four.safetensors", "F4", bytes(8), [4, 4])
    [layer] = open_ticket(path).layers
    with pytest.raises(TicketError, match="F4, which is not read; store it") as caught:
        layer.read()
    assert all(name in str(caught.value) for name in ("four.safetensors", "a.weight"))


@pytest.mark.parametrize("role", ["weight", "mask"])
def test_arrays_that_are_no_numbers_are_named(tmp_path, role):
    """Raw bytes (void), as NumPy stores bf16 without its package, are refused."""
    arrays = {"a.weight": np.ones((4, 4)), f"a.{role}": np.zeros((4, 4), "V2")}
    np.savez(tmp_path / "void.npz", **arrays)
    [layer] = open_ticket(tmp_path / "void.npz").layers
    with pytest.raises(TicketError, match=rf"void.npz: a.{role} is an array of \|V2"):
        layer.read()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_kinds_of_numbers_are_known_without_reading(tmp_path, suffix):
    """Kinds are those of the arrays, whatever the file's format."""
    kinds = {"b": np.bool_, "i": np.int8, "u": np.uint8, "f": np.float16}
    arrays = {kind: np.ones((2, 2), dtype) for kind, dtype in kinds.items()}
    path = tmp_path / f"w{suffix}"
    save_arrays(path, arrays, {})
    for file in (open_arrays(path), ArraysInMemory(arrays)):
        found = file.kinds()
        assert {name: found[name] for name in kinds} == {name: name for name in kinds}
    bf16 = stored(tmp_path / "bf16.safetensors", "BF16", bytes(8), [2, 2])
    assert SafetensorsFile(bf16).kinds() == {"a.weight": "f"}


def test_two_members_of_one_name_are_refused(tmp_path):
    """An .npz file whose members `a` and `a.npy` would be one array is refused."""
    path = tmp_path / "twice.npz"
    np.savez(path, a=np.ones((2, 2)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a", archive.read("a.npy"))
    with pytest.raises(TicketError, match=r"twice\.npz: holds two arrays called a;"):
        open_ticket(path)


def sharded(folder, **weight_map):
    """Write two shards of one array each, and an index of them."""
    for name, shard in (("a", "one"), ("b", "two")):
        arrays = {f"{name}.weight": np.full((4, 4), ord(name), np.float32)}
        save_arrays(folder / f"{shard}.safetensors", arrays, {})
    index = folder / "model.safetensors.index.json"
    shards = {"b.weight": "two.safetensors", "a.weight": "one.safetensors"}
    content = {"metadata": {"total_size": 128}, "weight_map": shards | weight_map}
    index.write_text(json.dumps(content))
    return index


def test_an_index_of_shards_is_one_ticket(tmp_path):
    """The arrays come from the files that the index names, in its order."""
    ticket = open_ticket(sharded(tmp_path))
    assert [layer.name for layer in ticket.layers] == ["b", "a"]
    assert [layer.read().scores.max() for layer in ticket.layers] == [98, 97]
    assert ticket.metadata == {"total_size": 128}
    assert open_arrays(tmp_path / "model.safetensors.index.json").kinds()["a.weight"]


def test_variants_of_an_index_are_read(tmp_path):
    """An index may name its variant before or after `index`, but is called an index."""
    index = sharded(tmp_path)
    for name in ("m.fp16.safetensors.index.json", "m.safetensors.index.fp16.json"):
        index = index.rename(tmp_path / name)
        assert len(open_ticket(index).layers) == 2
    with pytest.raises(TicketError, match=r"accepted: .*\.safetensors\.index\.json"):
        open_ticket(index.rename(tmp_path / "index.json"))


@pytest.mark.parametrize("shard", ["../one.safetensors", "/one.safetensors", "", 3])
def test_an_index_names_files_beside_it(tmp_path, shard):
    """A shard elsewhere, or one without a name, is refused."""
    index = sharded(tmp_path, **{"c.weight": shard})
    with pytest.raises(TicketError, match=r"index\.json: its file of c\.weight is"):
        open_ticket(index)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', "[" * 9999])
def test_an_index_without_a_map_is_refused(tmp_path, content):
    """JSON of another kind is no index, in a line that names the file."""
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(
        TicketError, match=r"index\.json: (is (no index|empty)|no JSON)"
    ):
        open_ticket(index)


def test_missing_shards_and_arrays_are_named(tmp_path):
    """All the files that are missing are named, or the array that is in none."""
    index = sharded(tmp_path, **{"c.weight": "two.safetensors"})
    with pytest.raises(TicketError, match=r"c\.weight is not in two\.safetensors"):
        open_ticket(index)
    for name in ("one", "two"):
        (tmp_path / f"{name}.safetensors").unlink()
    with pytest.raises(TicketError, match="are missing") as caught:
        open_ticket(index)
    for name in (index.name, "one.safetensors", "two.safetensors"):
        assert name in str(caught.value)


def npy(shape="(8, 8)", kind="<f4", numbers=bytes(256)):
    """Write one array as NumPy does, with a header that may be wrong."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"
    header = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + numbers


def zipped(path, member, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.weight.npy", member)
    return bytearray(path.read_bytes())


def hostile_archives(path):
    """Write archives of which a part is wrong; yield what should be said."""
    for shape in ("(10 ** 6, 10)", "(8.0, 8)", "((((", "(-1, 8)"):
        zipped(path, npy(shape))
        yield path.read_bytes(), "no readable"
    for shape in (f"({10**6}, {10**6})", f"({10**30}, 8)"):
        zipped(path, npy(shape))
        yield path.read_bytes(), r"but holds 256; copy the file anew"
    encrypted = zipped(path, npy())
    directory = encrypted.find(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[directory + 8] |= 1
    yield encrypted, "encrypted"
    unknown = zipped(path, npy())
    unknown[8] = unknown[directory + 10] = 98
    yield unknown, "compressed by method 98; stored"
    damaged = zipped(path, npy(), zipfile.ZIP_DEFLATED)
    damaged[50:80] = b"\xff" * 30
    yield damaged, "no readable .npz"


def test_hostile_archives_are_one_error(tmp_path):
    """Whatever zip, zlib or NumPy make of damage, the file is named in one line."""
    path = tmp_path / "hostile.npz"
    for content, message in [*hostile_archives(path)]:
        path.write_bytes(content)
        with pytest.raises(TicketError, match=message) as caught:
            [layer.read() for layer in open_ticket(path).layers]
        assert "hostile.npz" in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("text", ["3", "[" * 100_000, "none", '["a"]'])
def test_metadata_of_others_are_harmless(tmp_path, suffix, text):
    """What is no ticket's metadata is kept as a text, or left aside."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, **{"a.weight": np.eye(4), "__metadata__": np.array(text)})
    else:
        save_file({"a.weight": np.eye(4)}, path, {"ticket": text})
    metadata = open_ticket(path).metadata
    assert metadata == ({} if suffix == ".npz" else {"ticket": text})


def contents_that_are_called_something_else():
    """Yield a name, the first bytes of what it holds, and what should be said."""
    page = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    safetensors = struct.pack("<Q", 2) + b"{}"
    for name in ("w.pt", "w.pth", "w.npz", "w.safetensors"):
        yield name, page, "is a web page"
        yield name, pointer, "is a Git LFS pointer"
        yield name, b"\x89HDF\r\n\x1a\n" + bytes(9), "is an HDF5 file"
        yield name, b"\x08\x07\x12\x07pytorch", "is an ONNX model; rename it to .onnx"
        yield name, b"\x1f\x8b\x08", "compressed with gzip"
        yield name, b"\x93NUMPY\x01\x00", r"store it with `numpy\.savez`"
        yield name, b'{"weight_map": {}}', "is a JSON text"
    for name in ("w.pt", "w.pth", "w.npz", "w.bin", "w.onnx"):
        yield name, safetensors, "is a safetensors file; rename it to .safetensors"
    for name in ("w.npz", "w.safetensors", "w.pkl"):
        yield name, b"\x80\x02}q\x00.", "is a pickle, which is never loaded"
    yield "w.h5", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"
    yield "w.tflite", b"\x1c\x00\x00\x00TFL3", "is a TFLite model"
    yield "w.gguf", b"GGUF\x03", "is a GGUF file"
    yield "w.tar", bytes(257) + b"ustar", "is a tar archive"


@pytest.mark.parametrize(
    ("name", "content", "said"), [*contents_that_are_called_something_else()]
)
def test_a_file_is_called_what_it_is(tmp_path, name, content, said):
    """Whatever its name, the first bytes tell what a file holds, and what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TicketError, match=said) as caught:
        open_ticket(path)
    assert name in str(caught.value)


@pytest.mark.parametrize("length", [0x280, 0x480, 0x8B1F, 0x120708])
def test_the_length_of_a_header_is_no_mark_of_another_format(tmp_path, length):
    """Safetensors begin with a number, which may look like a pickle, gzip or ONNX."""
    header = b'{"a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}'
    content = struct.pack("<Q", length) + header.ljust(length) + bytes(16)
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert open_ticket(path).layers[0].shape == (2, 2)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (("net/data.pkl", "net/version"), "is a torch file; rename it to .pt"),
        (("net/data.pkl", "net/constants.pkl"), "is a TorchScript program"),
        (("model.weights.h5", "config.json"), "is a Keras archive"),
        (("weights.bin",), "is a zip archive"),
        (("a.weight.npy",), r"is an \.npz file; rename it to \.npz"),
    ],
)
def test_zip_archives_are_told_apart_by_their_members(tmp_path, members, said):
    """Torch, TorchScript, Keras and NumPy all write zip archives."""
    path = tmp_path / "w.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    with pytest.raises(TicketError, match=said):
        open_ticket(path)


def test_a_folder_is_called_one(tmp_path):
    """A folder with the name of a file is no missing file."""
    (tmp_path / "w.npz").mkdir()
    with pytest.raises(TicketError, match="is a folder"):
        open_ticket(tmp_path / "w.npz")
