"""Signals that end a command: with care the first time, at once the second."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

# Ctrl-C, what supervisors send, and a terminal that is closed.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_AGAIN = 0.01  # seconds after which a lost interrupt is raised anew
_SHOW_CURSOR = b"\x1b[?25h"  # which progress bars hide


@dataclass
class StopSignal:
    """Which signal asked for the end, if one did.

    Attributes
    ----------
    number : int
        The signal; that of Ctrl-C until one came.
    came : bool
        Whether one came.
    """

    number: int = signal.SIGINT
    came: bool = False

    @property
    def status(self) -> int:
        """Exit status, as shells tell that a signal ended a program."""
        return 128 + self.number


@contextmanager
def stop_signals(of_a_program: bool = False) -> Iterator[StopSignal]:
    """Turn the first signal into a `KeyboardInterrupt`; the second one kills.

    So SIGTERM is heeded as Ctrl-C is, by whatever heeds Ctrl-C, and a second signal
    needs no Python to run. Where the first meets a finalizer or a callback, in which
    Python drops whatever is raised, it is raised once more a moment later. Signals that
    were ignored before stay ignored, as those of a command in the background do. Where
    another thread than the main one asks, nothing changes: it gets no signals.

    Parameters
    ----------
    of_a_program : bool
        Whether the process ends with the context. Then a second signal kills until it
        has ended; else what was heeded before is heeded again.

    Yields
    ------
    StopSignal
        What came until now.
    """
    known = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield known
        return
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    heeded = [one for one in numbers if signal.getsignal(one) != signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for one in heeded:
            signal.signal(one, signal.SIG_DFL)
        known.number, known.came = number, True
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
        raise KeyboardInterrupt

    def raise_again() -> None:
        if ended.is_set():
            return
        if hasattr(signal, "pthread_kill"):  # wakes the thread, which may be waiting
            signal.pthread_kill(main_thread, known.number)
        else:
            _thread.interrupt_main(signal.Signals(known.number))

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        if known.came and issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.signal(known.number, stop)
            threading.Timer(_AGAIN, raise_again).start()
        else:
            former_hook(unraisable)

    ended = threading.Event()
    main_thread = threading.get_ident()
    former_hook, sys.unraisablehook = sys.unraisablehook, dropped
    former = {one: signal.signal(one, stop) for one in heeded}
    try:
        yield known
    finally:
        ended.set()
        sys.unraisablehook = former_hook
        if not (known.came and of_a_program):
            for one, handler in former.items():
                signal.signal(one, handler)
