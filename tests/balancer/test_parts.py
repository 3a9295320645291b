"""What is not whole has a place of its own, which goes with its process."""

import json
import os
import subprocess
import sys
import time

import pytest

from balancer.errors import TicketError
from balancer.files.atomic import replacing
from balancer.files.folders import DESCRIPTION, describe, replacing_folder
from balancer.files.parts import FORMER, part_folder, sweep_parts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")

WRITER = """
import sys, time
from pathlib import Path
from balancer.files.atomic import replacing

with replacing(Path(sys.argv[1])) as (file,):
    file.write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that has written half of a file."""
    path = os.pathsep.join(one for one in sys.path if one)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "masks.npz")],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"begun\n"
    yield process
    process.kill()
    process.communicate()


def test_only_what_the_dead_have_left_is_swept(writer, tmp_path):
    """Half a file stays while its process lives, and is gone once that is killed."""
    [part] = tmp_path.iterdir()
    sweep_parts(tmp_path)
    assert (part / "masks.npz").read_text() == "half"
    writer.kill()
    writer.wait()
    sweep_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_writes_next_sweeps(writer, tmp_path):
    """A new file in the folder is all that is there after a kill."""
    writer.kill()
    writer.wait()
    with replacing(tmp_path / "masks.npz") as (file,):
        file.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["masks.npz"]


def test_empty_parts_and_the_files_of_others(tmp_path):
    """A folder that was only just made goes; a file that has such a name does not."""
    (tmp_path / ".part-abcdefgh").mkdir()
    (tmp_path / ".part-mine").write_text("")
    sweep_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".part-mine"]


def test_two_writers_do_not_disturb_each_other(tmp_path):
    """While one writes another may come, sweep and go."""
    with part_folder(tmp_path) as one:
        (one / "a").write_text("a")
        with part_folder(tmp_path) as two:
            assert two != one
        sweep_parts(tmp_path)
        assert (one / "a").read_text() == "a"
    assert list(tmp_path.iterdir()) == []


def exported(folder, text):
    with replacing_folder(folder) as written:
        (written / "text").write_text(text)
        describe(written, "text")


def test_an_export_that_is_killed_while_it_replaces_one_loses_neither(tmp_path):
    """Moved aside, with nothing yet in its place, the earlier export comes back."""
    folder = tmp_path / "export"
    exported(folder, "first")
    part = tmp_path / ".part-abcdefgh"
    (part / FORMER).mkdir(parents=True)
    (part / ".lock").touch()
    folder.rename(part / FORMER / "export")
    sweep_parts(tmp_path)
    assert (folder / "text").read_text() == "first"
    exported(folder, "second")
    assert (folder / "text").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_times_of_files_play_no_part(tmp_path):
    """What is dead is told by its lock, whatever the clock says."""
    for age in (-1e6, 1e6):
        part = tmp_path / ".part-abcdefgh"
        part.mkdir()
        (part / ".lock").touch()
        os.utime(part, (time.time() + age,) * 2)
        sweep_parts(tmp_path)
        assert not part.exists()


@pytest.mark.parametrize("files", [5, [[1]], None])
def test_a_folder_whose_description_names_no_files_is_not_replaced(tmp_path, files):
    """What is no earlier export stays, whatever its description says."""
    folder = tmp_path / "export"
    exported(folder, "first")
    known = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(known | {"files": files}))
    with pytest.raises(TicketError, match="is no earlier export alone"):
        exported(folder, "second")
    assert (folder / "text").read_text() == "first"
