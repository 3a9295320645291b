"""What a file is by its first bytes, whatever it is called.

The marks are those of the formats' own documents: zip (PKWARE's APPNOTE), HDF5, NumPy,
safetensors (the length of a JSON header, then the header), ONNX (a protobuf message
that begins with `ir_version`), Git LFS (pointer specification 1), gzip, GGUF, TFLite.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

HEAD = 512  # bytes that tell all of these formats apart

# Which kinds of content a reader takes, by the suffix of the file.
_EXPECTED = {
    ".npz": ("npz", "zip"),
    ".safetensors": ("safetensors",),
    ".pt": ("torch", "pickle", "zip"),
    ".pth": ("torch", "pickle", "zip"),
    ".onnx": ("onnx",),
    ".json": ("JSON",),
}
_SAID = {
    "page": "a web page and no weights; download the file itself",
    "lfs": "a Git LFS pointer and not the file itself; run `git lfs pull` or download "
    "it",
    "npz": "an .npz file; rename it to .npz",
    "npy": "one .npy array without a name; store it with `numpy.savez` under the name "
    "of its layer",
    "safetensors": "a safetensors file; rename it to .safetensors",
    "torch": "a torch file; rename it to .pt",
    "torchscript": "a TorchScript program and no state dict; open it with "
    "`torch.jit.load` and save the `state_dict()` of what it returns",
    "onnx": "an ONNX model; rename it to .onnx",
    "hdf5": "an HDF5 file, as Keras writes; store its arrays with `numpy.savez`",
    "keras": "a Keras archive; store the weights of its layers with `numpy.savez`",
    "pickle": "a pickle, which is never loaded; store its arrays with `numpy.savez`, "
    "or call it .pt if `torch.save` wrote it",
    "zip": "a zip archive; unpack it, and give the file of weights in it",
    "gzip": "compressed with gzip; unpack it first",
    "xz": "compressed with xz; unpack it first",
    "bzip2": "compressed with bzip2; unpack it first",
    "tar": "a tar archive; unpack it, and give the file of weights in it",
    "gguf": "a GGUF file, whose weights are quantized in blocks; use the checkpoint "
    "that it was made from",
    "tflite": "a TFLite model; use the network that it was made from",
    "JSON": "a JSON text and holds no arrays",
}


def misnamed(path: Path) -> str | None:
    """Say what a file is that is not what its name says, and what to do.

    None for a file that is what its name says, or that no mark tells.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        return "empty; copy or download it anew"
    kind = _kind(head, path)
    if kind is None or kind in _EXPECTED.get(path.suffix.lower(), ()):
        return None
    return _SAID[kind]


def _kind(head: bytes, path: Path) -> str | None:
    """Name the kind of content, None where nothing tells it."""
    for kind, matches in _MARKS.items():
        if matches(head):
            return _of_zip(path) if kind == "zip" else kind
    return None


def _of_zip(path: Path) -> str:
    """Tell zip archives apart by the names of their members."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile fails in many ways on damage
        return "zip"  # the reader says what is damaged
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        return "torchscript" if "constants.pkl" in last else "torch"
    if "model.weights.h5" in last:
        return "keras"
    return "npz" if names and all(name.endswith(".npy") for name in last) else "zip"


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


def _is_page(head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error"))


def _is_safetensors(head: bytes) -> bool:
    """Whether a header of JSON follows its length, which is below 100 MB."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def _is_onnx(head: bytes) -> bool:
    """Whether `ir_version` comes first, then a text, the operator sets or the graph."""
    return bool(re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]", head))


def _is_json(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[")


_MARKS: dict[str, Callable[[bytes], bool]] = {
    "safetensors": _is_safetensors,  # the first bytes, a length, may be any others
    "zip": _starts(b"PK\x03\x04", b"PK\x05\x06"),
    "npy": _starts(b"\x93NUMPY"),
    "hdf5": _starts(b"\x89HDF\r\n\x1a\n"),
    "lfs": _starts(b"version https://git-lfs", b"version https://hawser"),
    "page": _is_page,
    "gguf": _starts(b"GGUF"),
    "gzip": _starts(b"\x1f\x8b"),
    "xz": _starts(b"\xfd7zXZ"),
    "bzip2": _starts(b"BZh"),
    "pickle": _starts(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    "tflite": lambda head: head[4:8] == b"TFL3",
    "tar": lambda head: head[257:262] == b"ustar",
    "onnx": _is_onnx,
    "JSON": _is_json,
}
