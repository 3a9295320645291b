"""Make a comparison and print it; exit status 1 where what must be equal differs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from balancer import BalancerError
from validation import eyeriss_v2, forms, published, sanafe_cores
from validation.check import Check

Checks = Iterable[Check]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison that the arguments name."""
    args = parser().parse_args(arguments)
    try:
        made = list(args.checks(args))
    except BalancerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print("\n\n".join(map(str, made)))
    return 0 if all(check.holds for check in made) else 1


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    every = argparse.ArgumentParser(
        prog="python -m validation",
        description="The hardware model beside other people's tools and numbers.",
    )
    commands = every.add_subparsers(metavar="COMPARISON", required=True)

    def add(
        name: str, text: str, checks: Callable[[argparse.Namespace], Checks]
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(checks=checks)
        return command

    add("sanafe", "SANA-FE, where every PE is a core", _sanafe).add_argument(
        "--detailed",
        action="store_true",
        help="what messages add that wait in its network on chip",
    )
    add(
        "eyeriss-v2",
        "published cycles of a PE of Eyeriss v2 on eight layers of MobileNet",
        lambda args: [eyeriss_v2.check(args.folder)],
    ).add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="fig12_eyerissv2_pe_setup of Sparseloop's MICRO 2022 artifact",
    )
    add(
        "forms",
        "MINT and SATO as Prosperity's artifact counts them, on recorded spikes",
        lambda _: [forms.check()],
    )
    add(
        "published",
        "speed-ups of LoAS and Prosperity beside the presets",
        lambda _: published.checks(),
    )
    return every


def _sanafe(args: argparse.Namespace) -> Checks:
    if args.detailed:
        yield sanafe_cores.check_network_on_chip()
    else:
        yield sanafe_cores.check()


if __name__ == "__main__":
    sys.exit(main())
