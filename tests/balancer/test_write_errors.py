"""A file that cannot be written is an error of one line that says what to do."""

import errno
import os

import numpy as np
import pytest

from balancer.errors import WriteError
from balancer.files.array_files import save_arrays
from balancer.files.atomic import replacing
from balancer.files.write_errors import writing

resource = pytest.importorskip("resource")  # not on Windows
PLENTY = np.random.default_rng(0).random(10_000)


@pytest.fixture
def small_files():
    """No file may exceed 1000 bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def save_with_torch(file):
    torch = pytest.importorskip("torch")
    from snn.torch_files import save_torch

    save_torch({"a": torch.from_numpy(PLENTY)}, file)


WRITERS = {
    "masks.safetensors": lambda file: save_arrays(file, {"a": PLENTY}, {}),
    "masks.npz": lambda file: save_arrays(file, {"a": PLENTY}, {}),
    "report.json": lambda file: file.write_text("x" * 5000),
    "state.pt": save_with_torch,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("small_files")
def test_no_room(tmp_path, name):
    """Whoever writes it: the file is named, and what was there before is kept."""
    path = tmp_path / name
    path.write_text("before")

    def write():
        with replacing(path) as (file,):
            WRITERS[name](file)

    with pytest.raises(WriteError) as error:
        write()
    said = str(error.value)
    assert said.startswith(f"cannot write {path}: File too large; make room")
    assert "\n" not in said
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EROFS, "permission"),
        (errno.EACCES, "permission"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_advice(tmp_path, code, advice):
    """What would help is said where it is known."""

    def write():
        with writing(tmp_path / "a", tmp_path / "b"):
            raise OSError(code, os.strerror(code))

    with pytest.raises(WriteError, match=advice) as error:
        write()
    assert f"{tmp_path / 'a'}, {tmp_path / 'b'}" in str(error.value)


def test_other_errors_pass(tmp_path):
    """A file that cannot be read meanwhile, and a closed pipe, are what they are."""
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "ticket")),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
    ):
        with pytest.raises(type(error)), writing(tmp_path / "out" / "masks"):
            raise error


def test_the_final_name_is_told(tmp_path):
    """Nobody needs to know how files are called until they are whole."""

    def write():
        with replacing(tmp_path / "masks.npz") as (file,):
            file.mkdir()
            file.write_text("")

    with pytest.raises(WriteError, match=r"cannot write .*masks\.npz: Is a dir") as e:
        write()
    assert ".part-" not in str(e.value)
