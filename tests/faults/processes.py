"""Processes that run a command: forked from one that has loaded everything already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from .injected import Fault

LOADED = [
    *("cli", "balancer.report.balance_ticket", "hwmodel.sweeps.run"),
    *("ortools.sat.python.cp_model", "matplotlib.pyplot", "hwmodel.commands.sweep"),
    *("snn.lottery.run", "snn.lottery.run_comparison", "snn.retraining.retrain"),
    *("sklearn.datasets", "spikingjelly.activation_based.functional"),
    *("torch._dynamo", "torch._dynamo.aot_compile"),  # seconds of each run else
]
ROOT = Path(__file__).resolve().parents[2]
LONGEST = 300.0  # seconds that a process may take: it hangs


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes
    ----------
    status : int
        Its exit status; that of a signal is negative.
    said : str
        What it wrote to stderr.
    """

    status: int
    said: str

    @property
    def last_line(self) -> str:
        """The error, which takes one line; there must be no traceback."""
        assert "Traceback" not in self.said, self.said
        lines = [one for one in self.said.splitlines() if "warning:" not in one]
        return lines[-1] if lines else ""


class Running:
    """A process that runs a command in a folder.

    Parameters
    ----------
    arguments : tuple of str
        Of the command line.
    folder : Path
        In which changes of files count.
    fault : Fault
        What happens to it.
    closed_stdout : bool
        Whether nobody reads its output; else it goes nowhere.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        fault: Fault | None = None,
        *,
        closed_stdout: bool = False,
    ) -> None:
        self._said = TemporaryDirectory()
        self._path = Path(self._said.name) / "stderr"
        context = multiprocessing.get_context("forkserver")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        if str(ROOT) not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
            paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
            os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        context.set_forkserver_preload(LOADED)
        self.process: BaseProcess = context.Process(
            target=_run,
            args=(arguments, str(folder), fault, str(self._path), closed_stdout),
        )
        self.process.start()

    def wait_until_begun(self) -> None:
        """Wait until signals reach the command, and not what starts it."""
        while not self._path.exists() and self.process.exitcode is None:
            time.sleep(0.002)

    def send(self, number: int, *, to_all: bool = False) -> None:
        """Send a signal, to its own children as well if asked."""
        pid = self.process.pid
        assert pid is not None
        with suppress(ProcessLookupError):
            if to_all:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)

    def end(self, seconds: float = LONGEST) -> Ended:
        """Wait until it ends."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.send(signal.SIGKILL, to_all=True)
            raise AssertionError(f"still there after {seconds} s")
        said = self._path.read_text() if self._path.exists() else ""
        status = self.process.exitcode
        self.process.close()
        self._said.cleanup()
        return Ended(status, said)


def run(arguments: tuple[str, ...], folder: Path, fault: Fault | None = None) -> Ended:
    """Run a command to its end, by itself or by a fault."""
    return Running(arguments, folder, fault).end()


def _run(
    arguments: tuple[str, ...],
    folder: str,
    fault: Fault | None,
    said: str,
    closed_stdout: bool,
) -> None:
    os.setsid()  # so that it can be killed with its children
    for one in (signal.SIGINT, signal.SIGHUP):  # ignored, perhaps
        signal.signal(one, signal.SIG_DFL)
    error = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(error, 2)
    if closed_stdout:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
    else:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # New objects, as a new process has: the server's know where its own files stood.
    sys.stdout, sys.stderr = (
        open(fd, "w", closefd=False)  # noqa: SIM115
        for fd in (1, 2)
    )
    os.chdir(folder)
    _checkpoint_after_every_epoch()
    if fault is not None:
        fault.inject(folder)
    import cli

    sys.exit(cli.main(arguments))


def _checkpoint_after_every_epoch() -> None:
    """Commands write one every ten seconds, which are longer than these runs."""
    try:
        from snn.lottery.run import run_lottery
        from snn.retraining.retrain import retrain
    except ImportError:  # torch is not here
        return
    for function in (run_lottery, retrain):
        function.__kwdefaults__["checkpoint_seconds"] = 0.0
