"""The structure explains itself: imports point one way, and names mean one thing."""

import ast
import graphlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("balancer", "hwmodel", "snn", "rtl")
INSTALLED = ("balancer", "hwmodel", "snn")  # `rtl` runs from a checkout
# From the ground up: a module imports from its own floor or from those before it.
FLOORS = {
    "balancer": (
        *(
            "lazy",
            "array_types",
            "defaults",
            "errors",
            "text_files",
            "valid_json",
            "maps",
            "program",
            "metrics",
            "hardware",
        ),
        *(
            "solvers",
            "order",
            "baselines",
            "solving",
            "two_way",
            "pair",
            "expected_work",
        ),
        *("files", "export", "network", "report"),
    ),
    "snn": (
        *("array_types", "torch_files", "channels", "data", "networks", "training"),
        *("lottery", "loop", "export", "retraining", "commands"),
    ),
}
MOST_LINES = 400
CLI_LINES = 150


def modules():
    """Names of all modules with their files."""
    files = [ROOT / "cli.py", *(f for p in PACKAGES for f in (ROOT / p).rglob("*.py"))]
    named = {}
    for file in files:
        parts = file.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts).removesuffix(".__init__")] = file
    return named


MODULES = modules()


def imports_of(name, everywhere=True):
    """Modules of ours that a module imports; `everywhere`: in functions, too.

    What is only imported for annotations does not count.
    """
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update(
                f"{node.module}.{alias.name}"
                if f"{node.module}.{alias.name}" in MODULES
                else home_of(node.module, alias.name)
                for alias in node.names
            )
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef) and not everywhere:
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[name].read_text()))
    return {one for one in found if one in MODULES} - {name}


def home_of(package, name):
    """Module behind a public name of a package that loads its parts when asked."""
    if package not in PACKAGES:
        return package
    text = MODULES[package].read_text()
    home = re.search(rf'"{name}": "([\w.]+)"', text)
    return home[1] if home else package


def floor_of(module):
    """Package of a module and its floor in it."""
    package, *rest = module.split(".")
    floors = FLOORS.get(package)
    return package, floors.index(rest[0]) if floors and rest else 0


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name):
    """rtl, cli -> snn -> hwmodel -> balancer; inside them from upper floors down."""
    order = (*INSTALLED, "rtl", "cli")
    package, floor = floor_of(name)
    for other in imports_of(name):
        other_package, other_floor = floor_of(other)
        assert order.index(other_package) <= order.index(package), other
        if other_package == package and other.count("."):
            assert other_floor <= floor, f"{name} reaches up to {other}"


def test_there_is_no_circle_among_modules():
    """Modules can be read in an order in which each rests on those before it."""
    graph = {name: imports_of(name) for name in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_short(name):
    """No module is longer than what can be held in mind; `cli` is a list."""
    most = CLI_LINES if name == "cli" else MOST_LINES
    assert len(MODULES[name].read_text().splitlines()) <= most


def test_a_class_has_a_name_of_its_own():
    """No two classes, public or not, have one name."""
    homes = {}
    for name, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), []).append(name)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_the_balancer_stands_alone():
    """`balancer` imports neither torch nor what models hardware or trains networks."""
    text = "\n".join(
        file.read_text()
        for name, file in MODULES.items()
        if name.startswith("balancer")
    )
    assert not re.search(
        r"^\s*(import|from) (torch|snn|hwmodel|pydantic)\b", text, re.M
    )


@pytest.mark.parametrize(
    "file",
    [
        file
        for folder in ("benchmarks", "examples", "validation")
        for file in sorted((ROOT / folder).glob("*.py"))
    ],
    ids=lambda file: f"{file.parent.name}-{file.stem}",
)
def test_benchmarks_and_examples_use_what_is_public(file):
    """They import from the top of the packages only, as a user does."""
    deep = re.findall(
        r"^\s*(?:from|import) ((?:balancer|hwmodel|snn)\.\S+)", file.read_text(), re.M
    )
    assert deep == []


def test_an_installation_holds_every_module():
    """Folders with modules are packages, and the wheel takes all of their folders."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    taken = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    for name, file in MODULES.items():
        if name.partition(".")[0] == "rtl":
            continue
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        if package:  # cli.py stands alone
            assert (file.parent / "__init__.py").exists()
            assert package.partition(".")[0] in taken
