"""The site is built from the documents, links to what is there, and fetches nothing."""

import importlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("balancer", "hwmodel", "snn")
FETCHING = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
TOOLS = ROOT / "docs" / "tools"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the site, built so that any warning is an error."""
    for needed in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(needed, reason="needs the extra: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """Anchors of a page, where its links lead, what it fetches, and its text."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.fetched, self.text = set(), [], [], ""
        self.code = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors.add(values.get("id"))
        self.code += tag in ("code", "script", "style")
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in FETCHING and (address := values.get(FETCHING[tag])):
            self.fetched.append(address)

    def handle_endtag(self, tag):
        self.code -= tag in ("code", "script", "style")

    def handle_data(self, data):
        self.text += "code" if self.code else data


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_link_of_the_site_leads_somewhere(site, pages):
    """Pages, pictures and anchors exist, those of the API and the navigation, too."""
    wrong = []
    for path, page in pages.items():
        for link in [*page.links, *page.fetched]:
            address = urlsplit(link)
            if address.scheme or path.name == "404.html":
                continue
            base = site if address.path.startswith("/") else path.parent
            target = (base / unquote(address.path.lstrip("/"))).resolve()
            target = path if not address.path else target
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else {""}
            if not target.is_file() or (
                address.fragment and unquote(address.fragment) not in anchors
            ):
                wrong.append((str(path.relative_to(site)), link))
    assert wrong == []


def test_the_site_fetches_nothing_from_elsewhere(site, pages):
    """No page and no style names another host to load scripts, fonts or images from."""
    assert [
        address
        for page in pages.values()
        for address in page.fetched
        if "//" in address
    ] == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", styles) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_site_has_everything_that_is_public(pages, package):
    """What a package lists in `__all__` stands in the API, under its own name."""
    anchors = set().union(*(page.anchors for page in pages.values()))
    names = importlib.import_module(package).__all__
    assert [name for name in names if f"{package}.{name}" not in anchors] == []


def test_formulas_are_drawn(pages):
    """No LaTeX is left over in a text, and what became of it has no markup in it."""
    for path, page in pages.items():
        assert not re.search(r"\$\$|\\(sum|begin|le|lambda)\b", page.text), path
        assert "&#x" not in page.text, path


def test_lists_are_lists(pages):
    """Where a document begins a list, the site has one, and no line with a dash."""
    for path, page in pages.items():
        assert not re.search(r"^ *(-|\d\.) \*?\w", page.text, re.MULTILINE), path


# ------------------------------------------------------------------------ tutorial


def tool(name):
    """Import a module of `docs/tools`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_and_the_page_are_those_of_the_script():
    """The script is the source: its cells are the notebook's, and that is the page."""
    jupytext = pytest.importorskip("jupytext")
    tutorial = tool("tutorial")
    notebook = jupytext.read(tutorial.NOTEBOOK)
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    source = jupytext.read(tutorial.SOURCE)
    assert cells == [(cell.cell_type, cell.source) for cell in source.cells]
    page, pictures = tutorial.page_of(notebook)
    assert page == tutorial.PAGE.read_text(encoding="utf-8")
    for name, picture in pictures.items():
        assert picture == (ROOT / "docs" / name).read_bytes()


def test_the_notebook_tells_nothing_of_the_machine_that_ran_it():
    """Its outputs hold neither paths nor times."""
    text = (ROOT / "examples" / "tutorial.ipynb").read_text(encoding="utf-8")
    outputs = [
        "".join(output.get("text", ()))
        for cell in json.loads(text)["cells"]
        for output in cell.get("outputs", ())
    ]
    assert any(outputs)
    assert not re.search(r"/(home|root|tmp|usr)/|Warning", "".join(outputs))


def test_pictures_of_concepts_can_be_drawn_again(tmp_path):
    """The command draws what the documents show, from programs that are solved."""
    pytest.importorskip("matplotlib")
    drawn = {path.name for path in tool("pictures").draw(tmp_path)}
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())
    shown = {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"\(pictures/(\S+\.svg)\)", page.read_text())
    }
    assert drawn <= shown  # other commands draw the rest
    assert all((ROOT / "docs" / "pictures" / name).exists() for name in shown)
