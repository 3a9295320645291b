"""Run `examples/tutorial.py` as a notebook, and write it down: notebook and page.

``python docs/tools/tutorial.py`` takes two minutes on one core. What is written holds
what was printed and drawn; nothing else is written by hand.
"""

import base64
import posixpath
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "examples" / "tutorial.py"
NOTEBOOK = SOURCE.with_suffix(".ipynb")
PAGE = ROOT / "docs" / "tutorial.md"
PICTURES = "pictures/tutorial"  # of the page


def executed():
    """Return the notebook with what its cells printed and drew."""
    from nbclient import NotebookClient

    notebook = jupytext.read(SOURCE)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, resources={"metadata": {"path": folder}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                output.get("data", {}).pop("text/plain", None)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
    }
    return notebook


def on_page(text):
    """Return Markdown of the notebook with its links as seen from the page."""

    def turned(match):
        path = posixpath.normpath(posixpath.join("examples", match[1]))
        return f"]({posixpath.relpath(path, 'docs')}"

    return re.sub(r"\]\((?!\w+:)([^)#]+)", turned, text)


def page_of(notebook):
    """Return the page of a notebook, and its pictures by the names they have there."""
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(on_page(cell.source))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            if output.output_type == "stream":
                parts.append(f"```text\n{output.text.rstrip()}\n```")
            else:
                name = f"{PICTURES}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(output.data["image/png"])
                parts.append(f"![what the cell above draws]({name})")
    return "\n\n".join(parts) + "\n", pictures


if __name__ == "__main__":
    done = executed()
    nbformat.write(done, NOTEBOOK)
    page, pictures = page_of(done)
    PAGE.write_text(page, encoding="utf-8")
    for name, picture in pictures.items():
        (ROOT / "docs" / name).write_bytes(picture)
