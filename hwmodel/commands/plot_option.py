"""The option `--plot`: where a figure goes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hwmodel.commands.contract import UsageError


def add_plot(group: Any, what: str) -> None:
    """Add the option to a parser or a group of one; `what` says what is drawn."""
    group.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help=f"where a figure goes: {what} (.svg, .png, .pdf; needs the extra plots)",
    )


def check_plot(args: argparse.Namespace) -> None:
    """Refuse a figure that could not be drawn, before any work.

    Raises
    ------
    UsageError
        Another kind of file.
    FigureError
        There is no matplotlib.
    """
    from hwmodel.figures.canvas import FORMATS, check_figure

    if args.plot is None:
        return
    if args.plot.suffix not in FORMATS:
        raise UsageError(f"--plot is {args.plot}; accepted: {', '.join(FORMATS)}")
    check_figure(args.plot)
