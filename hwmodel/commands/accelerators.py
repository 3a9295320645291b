"""The command `accelerators`: the presets, as a list or one to copy."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from balancer.valid_json import to_json
from hwmodel.commands.completers import accelerator_names, offer
from hwmodel.commands.console import console, say
from hwmodel.commands.contract import Command

if TYPE_CHECKING:
    from hwmodel import Accelerator

EXAMPLES = """\
examples:
  %(prog)s
      names, and what they stand for
  %(prog)s u-ticket > mine.yaml
      a description to edit, for --accelerator mine.yaml of other commands
"""


class Accelerators(Command["list[Accelerator]"]):
    """List the presets, or print one."""

    name = "accelerators"
    help = "list the accelerators that come with the package, or print one"
    description = "List the presets, or print one as YAML to copy and edit."
    examples = EXAMPLES

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `accelerators`."""
        preset = parser.add_argument(
            "name",
            nargs="?",
            metavar="NAME|YAML",
            help="a preset, or a YAML file to print with all its defaults (default: "
            "list the presets)",
        )
        offer(preset, accelerator_names)
        output = parser.add_argument_group("output")
        output.add_argument(
            "--json", action="store_true", help="print one JSON document"
        )

    def run(self, args: argparse.Namespace) -> list[Accelerator]:
        """Load the preset that is asked for, or all."""
        from hwmodel import Accelerator

        names = Accelerator.names() if args.name is None else (args.name,)
        return [Accelerator.load(name) for name in names]

    def print(self, outcome: list[Accelerator], args: argparse.Namespace) -> None:
        """Print one description, or names and what they stand for."""
        if args.name is not None:
            [one] = outcome
            text = one.model_dump_json(indent=1) if args.json else one.to_yaml()
            print(text, end="")
        elif args.json:
            print(to_json({one.name: one.description for one in outcome}, indent=1))
        else:
            width = max(len(one.name) for one in outcome) + 2
            for one in outcome:
                text = f"{one.name:<{width}}{one.description}"
                indent = " " * width
                say(textwrap.fill(text, console().width, subsequent_indent=indent))
