"""The command `completion`: what a shell needs to complete command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from shlex import join, quote

from hwmodel.commands.completers import Offer, offered
from hwmodel.commands.contract import Command, Parser

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """\
examples:
  eval "$(%(prog)s bash)"
      in ~/.bashrc
  %(prog)s zsh > ~/.zfunc/_balanced-sparsity
      where ~/.zshrc has `fpath+=~/.zfunc` before `autoload -U compinit && compinit`
  %(prog)s fish > ~/.config/fish/completions/balanced-sparsity.fish
      nothing else to do
"""
# Functions that offer words, files that fit globs, and the folders on the way to them.
# Those of bash have "glob" in their names, by which shtab knows that they list files.
FUNCTIONS = {
    "bash": """\
{name}() {{
  compgen -W {words} -- "$1"
  local pattern
  for pattern in {patterns}; do compgen -f -X "!$pattern" -- "$1"; done
  compgen -d -- "$1"
}}""",
    "zsh": """\
{name}() {{
  local -a words=({listed})
  compadd "$@" -a words
  _files "$@" {files}
}}""",
    "fish": """\
function {name}
  printf '%s\\n' {listed}
  set -l begun (commandline -ct | string replace -r -- '^--[^=]*=' '')
  for found in (__fish_complete_path "$begun")
    set -l file (string split -m1 \\t -- $found)[1]
    for pattern in {patterns} '*/'
      if string match -q -- $pattern $file
        printf '%s\\n' $found
        break
      end
    end
  end
end""",
}


class Completion(Command[str]):
    """Print the completions of a shell.

    Parameters
    ----------
    parser_of : callable
        Makes the parser of the whole program, which knows all commands.
    """

    name = "completion"
    help = "completions for bash, zsh or fish"
    description = (
        "Print what makes a shell complete commands, options, names (maps, methods, "
        "accelerators) and files. It belongs to this version; print it again after an "
        "update."
    )
    examples = EXAMPLES

    def __init__(self, parser_of: Callable[[], Parser]) -> None:
        self._parser_of = parser_of

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the name of the shell."""
        parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=_LISTED)

    def run(self, args: argparse.Namespace) -> str:
        """Write the completions of all commands."""
        import shtab

        parser = self._parser_of()
        functions: dict[Offer, str] = {}
        for action in _actions(parser):
            what = offered(action)
            if what.patterns or what.folders:
                name = functions.setdefault(what, f"_balanced_glob_{len(functions)}")
                call = f"({name})" if args.shell == "fish" else name
                vars(action)["complete"] = {args.shell: call}
            elif what.words:
                action.choices = what.words
        bodies = [_body(args.shell, name, it) for it, name in functions.items()]
        return shtab.complete(parser, args.shell, preamble="\n".join(bodies))

    def print(self, outcome: str, args: argparse.Namespace) -> None:
        """Print them, for the shell to read."""
        print(outcome)


_LISTED = f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}"


def _actions(parser: Parser) -> Iterator[argparse.Action]:
    """Yield the arguments of a program and of its commands."""
    parser.fill()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        elif action.nargs != 0:
            yield action


def _body(shell: str, name: str, what: Offer) -> str:
    globs = "|".join(what.patterns)
    if len(what.patterns) > 1:  # one in parentheses would be a qualifier to zsh
        globs = f"({globs})"
    return FUNCTIONS[shell].format(
        name=name,
        words=quote(" ".join(what.words)),
        listed=join(what.words),
        patterns=join(what.patterns),
        files=f"-g {quote(globs)}" if what.patterns else "-/",
    )
