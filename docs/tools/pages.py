"""What MkDocs asks while it builds the site: pages from outside `docs/`, and the API.

Documents link to each other as files of the repository, so the links work where the
files are read as they are. Here they are turned to the pages that the files become.
"""

import importlib
import json
import posixpath
import re
import sys
from pathlib import Path

from mathml import MathML
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the packages of this checkout, whatever is installed

# Files of the repository that are pages of the site, too; examples are added.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "benchmarks/README.md": "benchmarks.md",
} | {
    f"examples/{path.name}": f"examples/{path.stem}.md"
    for path in sorted((ROOT / "examples").glob("*.py"))
    if path.stem != "tutorial"
}
# Files to take away, under the names that they have in the repository.
FILES = ("examples/tutorial.ipynb", "examples/tutorial.py")
LANGUAGES = {".py": "python", "": "text"}  # of files that are no Markdown

# Titles of the pages of each package, with the rooms (modules or packages in it) where
# their names live. A room that is not named here goes to the last page of its package.
API = {
    "balancer": {
        "Programs and solutions": ("program", "solving", "solvers"),
        "PE maps and schedules": ("maps",),
        "Networks": ("network",),
        "Reports of a ticket": ("report",),
        "Utilization and baselines": ("metrics", "baselines"),
        "Two-way, pairs, expected work": ("two_way", "pair", "expected_work"),
        "Tickets and files": ("files",),
        "Streams and sparse matrices": ("export",),
        "Hardware, errors and others": (),
    },
    "hwmodel": {
        "Accelerators and layers": (
            *("accelerator", "workload", "geometry", "chain", "spike_files"),
            *("ticket_workloads", "effective"),
        ),
        "Cycles and energy": (
            *("evaluation", "report", "layer_report", "comparison"),
            *("hardware", "layer_costs"),
        ),
        "Sweeps": ("sweeps",),
        "Other simulators": ("export",),
        "Errors and others": (),
    },
    "snn": {
        "Lottery runs": ("lottery",),
        "Your own loop": ("loop",),
        "Networks and data": ("networks", "data"),
        "Training": ("training", "retraining"),
        "Orders, exports and others": ("channels", "export"),
    },
}
# Modules whose text is shown before the names of their room: they state the program.
STATED = {"program": "balancer.program.problem"}


def api_pages():
    """Return the pages of the API: the path of each, and its text."""
    pages = {}
    for package, titles in API.items():
        module = importlib.import_module(package)
        rooms = {name: module._HOMES[name].split(".")[1] for name in module.__all__}
        named = {room for found in titles.values() for room in found}
        for title, found in titles.items():
            last = title == list(titles)[-1]
            names = [
                name
                for name, room in rooms.items()
                if room in found or (last and room not in named)
            ]
            text = [f"# {title}\n\nImport these names from `{package}`.\n"]
            text += [
                f"\n::: {STATED[room]}\n    options:\n      members: false\n"
                "      show_root_heading: false\n      show_root_toc_entry: false\n"
                for room in found
                if room in STATED
            ]
            text += [f"\n::: {package}.{name}\n" for name in sorted(names)]
            slug = re.sub(r"\W+", "-", title.lower())
            pages[f"api/{package}/{slug}.md"] = "".join(text)
    return pages


def on_config(config):
    """Add formulas to what Markdown may hold, and the API to the navigation.

    A document that the navigation does not name stands at the end of the reference.
    """
    config.markdown_extensions.append(MathML())
    named = json.dumps(config.nav)
    reference = next(one["Reference"] for one in config.nav if "Reference" in one)
    reference += [
        path.name
        for path in sorted((ROOT / "docs").glob("*.md"))
        if f'"{path.name}"' not in named
    ]
    entries = next(one["API"] for one in config.nav if "API" in one)
    pages = list(api_pages())
    entries += [
        {package: [page for page in pages if page.startswith(f"api/{package}/")]}
        for package in API
    ]
    return config


def on_files(files, config):
    """Add the pages that are no files of `docs/`."""
    for source, uri in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if not source.endswith(".md"):
            language = LANGUAGES[Path(source).suffix]
            text = f"# {source}\n\n```{language}\n{text}```\n"
        files.append(File.generated(config, uri, content=text))
    for uri, text in api_pages().items():
        files.append(File.generated(config, uri, content=text))
    for uri in FILES:
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    return files


# Code, which is left as it is, or a link to another file with its anchor.
CODE_OR_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]+`|(\]\()(?!\w+:|#)([^)#\s]+)", re.MULTILINE | re.DOTALL
)


def on_page_markdown(markdown, page, config, files):
    """Turn links to files of the repository to the pages of the site."""
    here = page.file.src_uri
    source = next((one for one, uri in PAGES.items() if uri == here), f"docs/{here}")

    def turned(match):
        if not match[2]:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        uri = PAGES.get(file, file.removeprefix("docs/"))
        return match[1] + posixpath.relpath(uri, posixpath.dirname(here))

    return CODE_OR_LINK.sub(turned, markdown)
