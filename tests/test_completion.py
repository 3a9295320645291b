"""Completions, asked of the shells themselves: commands, options, names and files."""

import shutil
import subprocess

import pytest

import cli
from balancer import map_kinds, solver_names
from hwmodel import Accelerator
from hwmodel.commands.completion import SHELLS

FILES = ("a b.npz", "net.safetensors", "design.toml", "mine.yaml", "notes.txt")
COMMANDS = {command.name for command in cli.COMMANDS}
# A line up to the cursor, words that must be offered, and words that must not.
LINES = {
    "": (COMMANDS, {"--order", "net.safetensors"}),
    "bal": ({"balance"}, COMMANDS - {"balance"}),
    "balance ": ({"a b.npz", "net.safetensors"}, {"notes.txt", "design.toml"}),
    "balance --order ": ({"fixed", "sorted", "optimized"}, {"net.safetensors"}),
    "balance --layer-wise --map ": (
        {"banked", "grid:", "2:4", "mine.yaml"},
        {"notes.txt"},
    ),
    "balance --accelerator ": ({*Accelerator.names(), "mine.yaml"}, {"notes.txt"}),
    "balance --solver ": ({"auto", *solver_names()}, {"notes.txt"}),
    "--quiet balance --budgets ": ({"lamp", "erk"}, {"net.safetensors"}),
    "lottery --method ": ({"lth", "optimal-order"}, {"notes.txt"}),
    "lottery --score ": ({"gradient", "taylor"}, {"notes.txt"}),
    "lottery --data-folder ": ({"runs"}, {"notes.txt"}),
    "sweep ": ({"design.toml"}, {"net.safetensors", "notes.txt"}),
    "export ": ({"streams", "nir"}, {"net.safetensors"}),
    "export streams ": ({"net.safetensors"}, {"notes.txt"}),
    "evaluate --spikes ": ({"a b.npz", "notes.txt"}, set()),
    "completion ": (set(SHELLS), {"notes.txt"}),
}
OPTIONS = [f"{name} --" for name in sorted(COMMANDS)]

BASH = """
source "$1"; shift
for asked in "$@"; do
  read -r -a COMP_WORDS <<<"balanced-sparsity $asked"
  [[ $asked == *" " || -z $asked ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _shtab_balanced_sparsity 2>/dev/null
  echo "LINE:$asked"; printf 'HIT:%s\\n' "${COMPREPLY[@]}"
done
"""
FISH = """
source $argv[1]
for line in $argv[2..]
  echo "LINE:$line"
  complete -C "balanced-sparsity $line" | string replace -r '\\t.*' '' \
    | string replace -r '^' HIT:
end
"""
# A terminal of its own, in which what the completion adds is printed as well.
ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "source inside.zsh $1"; shift
zpty -r z out '*READY*'
for line in "$@"; do
  zpty -w -n z "balanced-sparsity $line"$'\\t'
  zpty -r z out '*DONE:*'
  print -r -- "LINE:$line"
  print -r -- "$out" | tr -d '\\r' | grep -a -o 'HIT:[^;]*;' | tr -d ';'
  zpty -w -n z $'\\x15'
done
zpty -d z
"""
INSIDE_ZSH = """
PROMPT=
unsetopt auto_list auto_menu
autoload -Uz compinit && compinit -u -D
eval "$(cat $1)"
complete-and-say() { zle complete-word; print DONE: }
zle -N complete-and-say
bindkey '^I' complete-and-say
bindkey '^U' kill-whole-line
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
    local -a hits
    builtin compadd -A hits "$@"
    for hit in $hits; do print -r -- "HIT:$hit;"; done
  fi
  builtin compadd "$@"
}
print READY
"""
PROGRAMS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@pytest.fixture(scope="module", params=SHELLS)
def completed(request, tmp_path_factory):
    """What a shell offers after each line, in a folder with some files."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    folder = tmp_path_factory.mktemp(shell)
    (folder / "runs").mkdir()
    for name in FILES:
        (folder / name).touch()
    (folder / "inside.zsh").write_text(INSIDE_ZSH)
    with (
        open(folder / "completions", "w") as out,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sys.stdout", out)
        assert cli.main(["completion", shell]) == 0
    (folder / "ask").write_text(PROGRAMS[shell])
    plain = ("-f",) if shell == "zsh" else ("--no-config",) if shell == "fish" else ()
    done = subprocess.run(
        [shell, *plain, "ask", "completions", *LINES, *OPTIONS],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "TERM": "dumb"},
    )
    offered = {}
    for line in done.stdout.splitlines():
        kind, _, text = line.partition(":")
        if kind == "LINE":
            words = offered.setdefault(text, set())
        elif kind == "HIT" and text:
            words.add(text.rstrip("/").replace("\\ ", " "))
    return offered


@pytest.mark.parametrize("line", LINES)
def test_a_shell_offers_what_fits(completed, line):
    """Names and files that the place of the cursor takes are offered, others not."""
    wanted, others = LINES[line]
    assert wanted <= completed[line]
    assert not others & completed[line]


def test_a_shell_offers_all_options(completed):
    """Every option of every command is offered."""
    commands = next(a.choices for a in cli._parser()._actions if a.choices)
    for line in OPTIONS:
        command = commands[line.split()[0]]
        command.fill()
        known = {name for a in command._actions for name in a.option_strings}
        assert {n for n in known if n.startswith("--")} <= completed[line]


@pytest.mark.parametrize("shell", SHELLS)
def test_maps_are_completed_by_their_names(shell, capsys):
    """Whatever the registry of PE maps holds is in the completions."""
    assert cli.main(["completion", shell]) == 0
    out = capsys.readouterr().out
    for kind in map_kinds():
        assert kind.shown.partition(":")[0] in out


def test_another_shell_is_refused(capsys):
    """A shell without completions is named, with those that have them."""
    assert cli.main(["completion", "tcsh"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(shell in err for shell in SHELLS)
