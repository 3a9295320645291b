"""Documents and docstrings say what the code does: whatever they show runs.

Blocks of Python share the names of the blocks above them. A line of shell is run if it
takes a moment; what installs, measures or trains is checked by its options instead.
A command that no rule below knows is a failure, so nothing is left out in silence.
"""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from missing import without
from safetensors.numpy import load_file

import balancer
import cli
import validation.__main__ as validation
from balancer import open_ticket, shipped_ticket
from hwmodel import BenchSettings, SweepPlan, network_workloads, save_spikes
from hwmodel.bench.bench_case import cases_of
from hwmodel.bench.methods import METHODS
from hwmodel.commands.console import PIPE_WIDTH
from hwmodel.sweeps.cluster import slurm_options
from rtl.simulator import missing_simulator
from snn import LotteryTrainer
from snn.commands.round_table import RoundTable
from snn.lottery.variants import variant_configs

ROOT = Path(__file__).parents[1]
PACKAGES = ("balancer", "hwmodel", "snn", "rtl")
# What the extra `snn` brings; everything else is always there.
EXTRA = {"torch", "spikingjelly", "sklearn", "matplotlib", "torchvision"}
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_SANAFE = importlib.util.find_spec("sanafe") is not None  # has no wheels elsewhere
NETWORKS = ({"retrain"}, {"--evaluate"}, {"export", "torch"}, {"export", "nir"})


def folder(package):
    """Where a package is: in this checkout, or installed."""
    return Path(importlib.util.find_spec(package).origin).parent


def skip_without_torch():
    if not HAS_TORCH:
        pytest.skip("needs torch: python -m pip install -e '.[snn]'")


def or_skip(load, *names):
    """What `load` returns, if what it imports is installed."""
    try:
        return load(*names)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in EXTRA:
            raise
        return pytest.skip(f"needs {error.name}: python -m pip install -e '.[snn]'")


# ---------------------------------------------------------------------- docstrings


def modules_in(folder, name):
    """Names of a package and of all modules inside, without importing any."""
    yield name
    for inside in pkgutil.iter_modules([str(folder)]):
        full = f"{name}.{inside.name}"
        if inside.ispkg:
            yield from modules_in(folder / inside.name, full)
        else:
            yield full


MODULES = [
    name
    for package in (*PACKAGES, "validation")
    for name in modules_in(folder(package), package)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_give_what_they_show(name, tmp_path, monkeypatch):
    """Every example runs on its own, as a reader would paste it."""
    module = or_skip(importlib.import_module, name)
    monkeypatch.chdir(tmp_path)
    # Without the names of the module an example has to import what it uses.
    for example in doctest.DocTestFinder().find(module, globs={}):
        said = []
        failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
        assert not failed, "".join(said)


def docstrings(path):
    """Name and docstring of whatever has one in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield f"{path.name}:{getattr(node, 'name', 'module')}", text


def faults(docstring):
    """Lines that only a formatter would write: examples or underlines inside a text."""
    return [
        line
        for line in docstring.splitlines()
        if line.lstrip().rfind(">>>") > 0
        or ("---" in line and set(line.strip()) != {"-"})
    ]


@pytest.mark.parametrize(
    "docstring",
    [
        "Sum.\n\nExamples -------- >>> total = 1 +\n2 >>> total 3",
        "Sum.\n\nExamples --------\n>>> 1 + 2\n3",
        "Sum.\n\nParameters ---------- a : int",
        "Sum.\n\n    >>> a = 1 >>> a\n    1",
    ],
)
def test_a_docstring_that_a_formatter_reflowed_is_noticed(docstring):
    """The guard below sees examples and sections that were made into prose."""
    assert faults(docstring)


FILES = [
    ROOT / "cli.py",
    *(
        path
        for package in (*PACKAGES, "validation")
        for path in sorted(folder(package).rglob("*.py"))
    ),
]


def test_docstrings_keep_their_layout():
    """Every prompt begins a line, and every underline of a section has its own."""
    found = [
        (name, line)
        for path in FILES
        for name, text in docstrings(path)
        for line in faults(text)
    ]
    assert found == []


PUBLIC = [
    (package, name)
    for package in PACKAGES
    for name in getattr(importlib.import_module(package), "__all__", ())
]


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_what_a_package_exports_is_documented(package, name):
    """A public name has a docstring of its own, a public function an example in it."""
    public = or_skip(getattr, importlib.import_module(package), name)
    text = vars(public).get("__doc__") if inspect.isclass(public) else public.__doc__
    assert text
    assert not text.startswith(f"{name}("), "a dataclass without a docstring"
    if inspect.isfunction(public):
        assert ">>> " in text


# ----------------------------------------------------------------------- documents


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, the line of its fence, its language, its text."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks_of(document):
    """All fenced blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    found = re.finditer(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE)
    blocks = [
        Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in found
    ]
    assert 2 * len(blocks) == len(re.findall(r"^ *```", text, re.MULTILINE))
    return blocks


DOCUMENTS = {
    document: blocks_of(document)
    for document in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
        ROOT / "benchmarks" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
# Written by a command, code with output; test_site.py and test_examples.py check it.
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCKS = [block for blocks in DOCUMENTS.values() for block in blocks]


def headings(document):
    """Anchors of a document's headings, as GitHub makes them, by their texts."""
    text = document.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {t: re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document):
    """Every relative link names a file that exists, and a heading in it."""
    text = document.read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        if anchor:
            assert anchor in headings(target).values(), anchor


def test_documents_that_docstrings_name_exist():
    """A docstring that leaves an equation to a document names it and its section."""
    texts = [
        (where, " ".join(text.split()))
        for path in FILES
        for where, text in docstrings(path)
    ]
    pages = [(w, page) for w, t in texts for page in re.findall(r"docs/[\w-]+\.md", t)]
    assert pages
    assert [(w, page) for w, page in pages if not (ROOT / page).is_file()] == []
    sections = [
        (where, title, page)
        for where, text in texts
        for title, page in re.findall(r'"([^"]+)" in ``(docs/[\w-]+\.md)', text)
    ]
    assert sections
    assert [s for s in sections if s[1] not in headings(ROOT / s[2])] == []


def in_language(language):
    blocks = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", blocks, ids=str)


def neighbour(block, step):
    """The block before or after another one in its document."""
    blocks = DOCUMENTS[block.document]
    place = blocks.index(block) + step
    return blocks[place] if 0 <= place < len(blocks) else None


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_of_a_kind_that_is_tested(block):
    """A block is Python, shell, the output of the shell above it, or a sweep."""
    assert block.language in ("python", "sh", "text", "toml")
    if block.language == "text":
        shown_by = "python" if block.document == TUTORIAL else "sh"
        assert neighbour(block, -1).language == shown_by


class Session:
    """The blocks of Python of one document, run in order in one folder."""

    def __init__(self, document, folder):
        self.blocks = [b for b in DOCUMENTS[document] if b.language == "python"]
        self.folder = folder
        self.names = {"__name__": "__main__"}
        self.done = set()

    def run(self, block):
        for one in self.blocks[: self.blocks.index(block) + 1]:
            if one not in self.done and (HAS_TORCH or not needs_torch(one)):
                # As many empty lines as stand above it: errors name the right one.
                text = "\n" * one.line + one.text
                exec(compile(text, str(one.document), "exec"), self.names)
                self.done.add(one)


def needs_torch(block):
    return re.search(r"^(from|import) (snn|torch)\b", block.text, re.MULTILINE)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return {
        document: Session(document, tmp_path_factory.mktemp("python"))
        for document in DOCUMENTS
    }


@in_language("python")
def test_python_of_a_document_runs(block, sessions, monkeypatch):
    """A block needs no other names than those of the blocks above it."""
    if block.document == TUTORIAL:
        pytest.skip("the script that it is made from runs in test_examples.py")
    if needs_torch(block):
        skip_without_torch()
    session = sessions[block.document]
    monkeypatch.chdir(session.folder)
    session.run(block)


@in_language("toml")
def test_toml_of_a_document_is_a_sweep(block, material, monkeypatch):
    """A block of TOML is a file that `sweep` accepts."""
    monkeypatch.chdir(material)
    assert SweepPlan.of(tomllib.loads(block.text), LotteryTrainer()).points


def test_the_example_of_a_sweep_is_the_one_shown():
    """`docs/sweeps.md` shows the example that runs."""
    example = (ROOT / "examples" / "design_sweep.py").read_text()
    shown = [b.text for b in DOCUMENTS[ROOT / "docs" / "sweeps.md"]]
    assert example in shown
    assert len(example.splitlines()) < 40


# --------------------------------------------------------------------------- shell


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """The files that the documents take as given, all made from the shipped ticket."""
    folder = tmp_path_factory.mktemp("material")
    shipped = shipped_ticket()
    shutil.copy(shipped, folder / "net.safetensors")
    (folder / "design.toml").write_text(
        next(b.text for b in DOCUMENTS[ROOT / "docs" / "sweeps.md"])
    )
    (folder / "array.yaml").write_text(
        "group: out // 8\npe: (out // 2 % 4) * 3 + row\npes: 12\n"
    )
    arrays = load_file(shipped)
    np.savez(folder / "net.npz", **arrays)
    assert cli.main(["balance", "--out", str(folder / "runs" / "x")]) == 0
    shutil.copy(shipped, folder / "runs" / "x" / "round-12.safetensors")
    ticket = open_ticket(shipped)
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    rng = np.random.default_rng(0)
    spikes = {
        layer.name: rng.random((layer.timesteps, 1, *layer.input_shape)) < 0.15
        for layer in network_workloads(masks, ticket.metadata).workloads
        if not layer.direct_coded
    }
    for path in (folder / "spikes.npz", folder / "runs" / "x" / "spikes.npz"):
        save_spikes(path, spikes)
    if HAS_TORCH:
        import torch

        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        torch.save(state, folder / "net.pt")
    return folder


@dataclass
class Shell:
    """What a block of shell knows: its folder, its variables, what was printed last."""

    folder: Path
    variables: dict
    printed: str | None = None


def lines_of(block):
    """Lists of words and operators, one for each line that is not only a comment."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        if found := list(words):
            yield found


def commands_of(line):
    """Commands of a line, each with the file that it is redirected to, if any."""
    while line:
        end = line.index("&&") if "&&" in line else len(line)
        command, line = line[:end], line[end + 1 :]
        target = None
        if ">" in command:
            *command, arrow, target = command
            assert arrow == ">"
        yield command, target


@in_language("sh")
def test_shell_of_a_document_runs(block, material, tmp_path):
    """Every command does what its document says, or at least accepts its options."""
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    shell = Shell(tmp_path, {})
    for line in lines_of(block):
        for command, target in commands_of(line):
            shell.printed = obey(command, shell)
            if target is not None:
                (tmp_path / target).write_text(shell.printed, encoding="utf-8")
    shown = neighbour(block, +1)
    if shown is not None and shown.language == "text" and shell.printed != NOT_RUN:
        if shell.printed is None:
            assert_rounds(shown.text)
        else:
            assert_printed(shown.text, shell.printed)


NOT_RUN = "not run"  # for want of torch


def obey(command, shell):
    """Run a command or check it; return what it printed, None if it was not run."""
    words = [re.sub(r"\$(\w+)", lambda m: shell.variables[m[1]], w) for w in command]
    # An ellipsis in a path stands for the name of a run.
    words = [word.replace("…", "x") for word in words]
    while words and (given := re.fullmatch(r"([A-Z_]+)=(.*)", words[0])):
        shell.variables[given[1]] = given[2]
        words = words[1:]
    match words:
        case []:  # variables only
            return None
        case ["python", "cli.py", "lottery", *options]:
            return check_lottery(options)
        case ["torchrun", "--nproc-per-node", number, "cli.py", "lottery", *options]:
            assert number.isdigit()
            return check_lottery(options)
        case ["python", "cli.py", "sweep", file, "--scheduler" | "--slurm", text]:
            return check_cluster(file, text)
        case ["python", "cli.py", "bench", *options]:
            return check_bench(options)
        case ["python", "cli.py", *arguments]:
            return run(arguments, shell)
        case ["python", "-m", "rtl.simulate", *options]:
            return run_rtl(options, shell)
        case ["apt-get", "install", "iverilog"]:
            return None
        case ["dask", command, *options]:
            return check_dask(command, options)
        case ["python", "-m", "pytest", "-n", "auto"]:
            return None
        case ["python", "-m", "validation", *arguments]:
            return run_validation(arguments, shell)
        case ["python", "-m", "pytest", file, *options]:
            return check_tests(file, options)
        case ["python", "-m", "pip", "install", "-e", target]:
            return check_install(target)
        case ["python", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"]:
            return None
        case ["python", "-m", "mkdocs", "serve"]:  # `test_site.py` builds the site
            return None
        case ["python", script, *options] if script.startswith("benchmarks/"):
            return check_benchmark(script, options)
        case ["cp", source, target]:  # the run is somebody's own, the ticket is ours
            assert source.startswith("runs/")
            assert (folder("balancer").parent / target).is_file()
            return None
    return pytest.fail(f"no rule says how to test `{shlex.join(command)}`")


def run(arguments, shell):
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", *arguments],
        capture_output=True,
        text=True,
        cwd=shell.folder,
        env=os.environ | shell.variables,
    )
    if any(word.endswith(".pt") for word in arguments) and not HAS_TORCH:
        # There is no such file either: writing one takes torch.
        assert done.returncode == 1
        return None
    if any(words <= set(arguments) for words in NETWORKS) and not HAS_TORCH:
        assert done.returncode == 2
        assert "needs torch" in done.stderr
        return NOT_RUN
    if "--run" in arguments and not HAS_SANAFE:
        assert done.returncode == 1
        assert "needs sanafe" in done.stderr
        return NOT_RUN
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run_validation(arguments, shell):
    """Run a comparison, if all it needs is here and it counts the same each time."""
    validation.parser().parse_args(arguments)
    if "eyeriss-v2" in arguments or "--detailed" in arguments:
        return NOT_RUN
    if "sanafe" in arguments and not HAS_SANAFE:
        return NOT_RUN
    done = subprocess.run(
        [sys.executable, "-m", "validation", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | shell.variables,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run_rtl(options, shell):
    """The array is simulated where there is a simulator, else the reason is told."""
    done = subprocess.run(
        [sys.executable, "-m", "rtl.simulate", *options],
        capture_output=True,
        text=True,
        cwd=shell.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if missing_simulator() is not None:
        assert (done.returncode, done.stderr) == (1, f"error: {missing_simulator()}\n")
        return NOT_RUN
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def check_tests(file, options):
    """The tests of a file run anyway: those that are named are there."""
    names = re.findall(r"^def (test_\w+)", (ROOT / file).read_text(), re.MULTILINE)
    assert names
    if options:
        [option, words] = options
        assert option == "-k"
        assert all(any(w in name for name in names) for w in words.split(" or "))
    return NOT_RUN


def check_lottery(options):
    """Training takes minutes: all options are read before torch is missed."""
    code = f"import cli\nsys.exit(cli.main({['lottery', *options]}))"
    done = subprocess.run(
        [sys.executable, "-c", without("torch") + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "training needs torch" in done.stderr
    if "--compare" in options:
        variant_configs({}, options[options.index("--compare") + 1].split(","))


def check_bench(options):
    """Measuring takes minutes: its options are read, and what they ask for exists."""
    asked = cli._parser().parse_args(["bench", *options])
    settings = BenchSettings(asked.sizes, asked.maps, asked.pes, asked.sparsity)
    assert all(case.map for case in cases_of(settings, 1000) if case.pes)
    assert set(asked.methods or ()) <= set(METHODS)


def check_install(target):
    """An extra that is named exists."""
    name = re.fullmatch(r"\.(?:\[(.+)\])?", target)
    assert name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = name[1].split(",") if name[1] else []
    assert set(extras) <= set(project["optional-dependencies"])


def check_cluster(file, text):
    """There is no cluster here: its address or its options are read."""
    assert file == "design.toml"
    if "://" not in text:
        slurm_options(text)


def check_dask(command, options):
    """The commands of Dask have these options."""
    pytest.importorskip("distributed")
    known = subprocess.run(
        [sys.executable, "-m", "dask", command, "--help"],
        capture_output=True,
        text=True,
    )
    assert known.returncode == 0
    assert all(o in known.stdout for o in options if o.startswith("--"))


PARSE_ONLY = """
import argparse, runpy, sys

class Parsed(BaseException):
    pass

def parse_args(self, *args, parse=argparse.ArgumentParser.parse_args):
    parse(self, *args)
    raise Parsed

argparse.ArgumentParser.parse_args = parse_args
sys.path.insert(0, "benchmarks")
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except Parsed:
    print("parsed")
"""


def check_benchmark(script, options):
    """Benchmarks take minutes: run one up to where it has read its options."""
    text = (ROOT / script).read_text(encoding="utf-8")
    if "parse_args" not in text:
        assert options == []
        return
    if re.search("^import torch", text, re.MULTILINE):
        skip_without_torch()
    code = f"import sys\nsys.argv = {[script, *options]}\n{PARSE_ONLY}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (0, "parsed\n"), done.stderr


def without_times(text):
    """Lines of a table whose times, and columns as wide as them, say nothing."""
    lines = re.sub(r"\d[\d.,]* (ms|s|min)\b", "TIME", text).splitlines()
    return [" ".join(line.split()) for line in lines]


FILES_SAID = (
    *("masks: ", "report: ", "train them: ", "ticket: ", "written: ", "export: "),
)
MEASURED = re.compile(
    r"(?<=Test accuracy )(\S+)% → (\S+)%|(?<=the ticket )(\S+)%|(?<=masks )(\S+)%"
    r"|(?<=with them )(\S+)%|(?<=weights: )(\S+)(?= points)"
)
TRAINED_ALIKE = 5  # points: what another kind of processor may train otherwise


def assert_printed(shown, printed):
    """What a document shows is what was printed, but for times and names of files.

    What a trained network gets right differs a little between processors.
    """
    lines = without_times(printed)
    files = [line for line in lines if line.startswith(FILES_SAID)]
    shown, printed = (
        "\n".join(one)
        for one in (without_times(shown), lines[: len(lines) - len(files)])
    )
    assert MEASURED.sub("MEASURED", shown) == MEASURED.sub("MEASURED", printed)
    ours, theirs = (
        [float(value) for found in MEASURED.findall(text) for value in found if value]
        for text in (shown, printed)
    )
    assert ours == pytest.approx(theirs, abs=TRAINED_ALIKE)


def assert_rounds(shown):
    """Rounds that a document shows have the columns that `lottery` prints today."""
    header, *rows = shown.splitlines()
    assert [header] == RoundTable(PIPE_WIDTH).header()
    assert {len(row) for row in rows if row.strip() != "..."} == {len(header)}


def test_output_that_differs_in_more_than_times_is_noticed():
    """The comparison forgives times and their width, and nothing else."""
    printed = "layer  kept    time\n a     0.99  12.0 ms\nmasks: runs/a\n"
    assert_printed("layer  kept   time\n a     0.99  0.3 ms\n", printed)
    with pytest.raises(AssertionError):
        assert_printed("layer  kept   time\n a     0.98  0.3 ms\n", printed)


def test_accuracy_that_differs_by_much_is_noticed():
    """Some points are forgiven, and only where a network was trained or tested."""
    printed = " the ticket  93.87%\nTest accuracy 93.87% → 81.89% with these masks.\n"
    assert_printed(printed.replace("81.89", "79.55"), printed)
    with pytest.raises(AssertionError):
        assert_printed(printed.replace("81.89", "71.89"), printed)
    with pytest.raises(AssertionError):
        assert_printed("price 1.09%\n", "price 1.10%\n")


@pytest.mark.parametrize(
    "command",
    [
        "make",
        "python setup.py",
        "python -m pip list",
        "python -m pip install -e '.[nix]'",
        "python cli.py balance nowhere.npz",
        "python cli.py lottery --no-such-option",
        "python cli.py lottery --compare lth,nix",
        "python cli.py sweep design.toml --slurm nix",
        "dask worker --no-such-option",
        "python -m validation nix",
        "python -m pytest tests/hwmodel/test_anchors.py -k nix",
        "python benchmarks/bench_order.py nix",
    ],
)
def test_a_command_that_does_not_work_is_noticed(command, tmp_path):
    """What no rule knows fails, and so does a command with wrong options."""
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception, SystemExit)):
        obey(shlex.split(command), Shell(tmp_path, {}))


def test_a_release_has_one_version():
    """The package, its citation, and the newest entry of the changelog name it."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entries = re.findall(
        r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert cited["version"] == balancer.__version__
    assert entries[0] == (balancer.__version__, str(cited["date-released"]))


def test_the_oldest_versions_are_those_that_are_allowed():
    """`oldest.txt` pins every library to the lower bound of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(text.split(">=") for text in project["dependencies"])
    pinned = dict(
        line.split("==")
        for line in (ROOT / "tests/oldest.txt").read_text().splitlines()
    )
    assert pinned.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert f"{pinned[name]}.".startswith(f"{bound}."), name
