"""Readers of what trains and was trained, used as the commands use them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from . import seeds
from .target import about, is_drawn, timeless

if TYPE_CHECKING:
    from snn import ImageData, LotteryConfig


def read_config(path: Path) -> None:
    """Read the configuration of a lottery run."""
    from snn.lottery.config import LotteryConfig, read_toml

    with about(path):
        LotteryConfig.of(read_toml(path)).digest()


def read_log(path: Path) -> None:
    """Read the log of a lottery run, and go back in it."""
    from snn.training.journal import Journal

    with Journal(path.parent) as journal:
        journal.rewind_to(1, 1)
        journal.events()


def read_comparison(path: Path) -> None:
    """Read a comparison of methods, and write it again."""
    from snn import read_comparison as read

    comparison = read(path)
    comparison.to_json()
    comparison.to_csv()
    if is_drawn(path):
        with about(path):
            comparison.report(path.with_name("page.html"))


def read_mask_file(path: Path) -> None:
    """Find the ticket that masks belong to, and read them."""
    from balancer import open_ticket
    from snn.retraining.mask_plan import MaskPlan

    with about(path):
        path.with_name("good.npz").write_bytes(seeds.good())
        MaskPlan.of(path)
        for layer in open_ticket(path).layers:
            layer.read_mask()
            layer.read_schedules()


def read_images(path: Path) -> None:
    """Load images and labels of a file."""
    from snn import load_data

    with about(path):
        load_data(str(path), validation=0.0)


def read_run(path: Path) -> None:
    """Read a run folder: its report, its tickets, its checkpoints."""
    from snn.lottery.config import LotteryConfig
    from snn.lottery.store import RunFolder

    folder = RunFolder(path.parent, LotteryConfig())
    reads: tuple[tuple[str, Callable[[], object]], ...] = (
        ("report.json", folder.finished),
        ("report.json", folder.notes),
        ("round-00.safetensors", lambda: folder.load_round(0)),
        ("checkpoint.pt", folder.load_checkpoint),
        ("rewind.pt", folder.load_rewind),
    )
    for name, read in reads:
        if name == path.name:
            with about(path):
                read()


def read_finished(path: Path) -> None:
    """Read a finished run, as `report` does."""
    from snn.lottery.finished_run import RunOnDisk
    from snn.lottery.run_page import write_run_page

    found = RunOnDisk.read(path.parent)
    for outcome in found.outcomes:
        assert str(outcome)
    if is_drawn(path):
        with about(path):
            write_run_page(found, path.with_name("page.html"))


def resume_run(path: Path) -> None:
    """Go on with a run of which a file was damaged."""
    from snn import run_lottery
    from snn.training.trainer import TrainingError

    config, data = tiny_run()
    try:
        run_lottery(config, root=path.parent.parent, resume=True, data=data)
    except TrainingError as error:  # of weights that are no numbers: training says it
        with about(path):
            raise error


def read_recorded(path: Path) -> None:
    """Build the network of a ticket again, as `retrain` does."""
    from snn import load_network
    from snn.retraining.recorded_run import RecordedRun

    _, data = tiny_run()
    with about(path):
        RecordedRun.open(path, data=data)
        load_network(path)


@cache
def tiny_run() -> tuple[LotteryConfig, ImageData]:
    """Say what is run, in hundredths of a second."""
    import torch

    from snn import ImageData, LotteryConfig
    from snn.data.image_data import Split

    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 1, 4, 4), dtype=torch.uint8, generator=draw)
    split = Split(images, torch.arange(12) % 2)
    data = ImageData(
        *("tiny", split, split, split, 2),
        *(torch.full((1,), 128.0), torch.full((1,), 64.0), "none"),
    )
    config = LotteryConfig(
        **{"network": "2c3-fc2", "epochs": 3, "rewind": 1, "timesteps": 1},
        **{"sparsities": (0.5,), "method": "lth", "record_images": 2},
    )
    return config, data


@cache
def unfinished_run() -> tuple[str, dict[str, bytes]]:
    """Return the name and the files of a run that was stopped in its second round."""
    from snn import Watcher, run_lottery

    class Stop(Exception):
        pass

    class Stopping(Watcher):
        epochs = 0

        def epoch(self, number: int, report: object) -> None:
            self.epochs += number  # 0 is the dense network
            if self.epochs == 2:
                raise Stop

    config, data = tiny_run()
    with TemporaryDirectory() as root:
        with suppress(Stop):
            asked = {"root": root, "data": data, "checkpoint_seconds": 0.0}
            run_lottery(config, watcher=Stopping(), **asked)
        [folder] = Path(root).iterdir()
        files = {path.name: timeless(path) for path in sorted(folder.iterdir())}
    assert {"checkpoint.pt", "rewind.pt", "round-00.safetensors"} <= set(files)
    return folder.name, files
