"""A page: a summary for a minute, then figures with their numbers, in one HTML file."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from balancer.errors import BalancerError
from balancer.files.atomic import replacing
from hwmodel.pages.number_table import NumberTable

if TYPE_CHECKING:
    from jinja2 import Environment


WHOLE = ",.0f"  # how counts are written


class PageError(BalancerError):
    """A page that cannot be made."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number of the summary, with what it was before where it changed.

    Attributes
    ----------
    title : str
        What the number is.
    value : float or int
        The number.
    form : str
        How it is written (a format of Python's).
    before : float, int or None
        What it was.
    note : str
        Its unit, or of what it is a share.
    """

    title: str
    value: float
    form: str
    note: str
    before: float | None = None

    def form_of(self, value: float) -> str:
        """Write the number, now or before."""
        return format(value, self.form)

    @property
    def change(self) -> str | None:
        """By how much of the former value it changed; None for shares, and without."""
        if not self.before or self.form != WHOLE:
            return None
        return f"{self.value / self.before - 1:+.0%}"


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """A question that everybody has, and the sentences that answer it."""

    question: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PageSection:
    """A figure with its numbers.

    Attributes
    ----------
    title, text : str
        Its heading, and what is to be seen.
    svg : str or None
        From `page_svg`.
    tables : tuple of NumberTable
        The numbers.
    """

    title: str
    text: str
    svg: str | None = None
    tables: tuple[NumberTable, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says.

    Attributes
    ----------
    title, subtitle : str
        What it is about.
    facts : sequence of Fact
        Numbers of the summary.
    answers : sequence of PageAnswer
        Sentences of the summary.
    warnings : sequence of str
        What must not be overlooked.
    notes : sequence of str
        What the numbers assume and what they might hide.
    sections : sequence of PageSection
        Everything else.

    Examples
    --------
    >>> from hwmodel.pages.page import Fact, Page
    >>> page = Page("<net>", "", [Fact("cycles", 30, ",.0f", "", 40)], [], [], [], [])
    >>> html = page.render()
    >>> "<net>" in html, "&lt;net&gt;" in html
    (False, True)
    """

    title: str
    subtitle: str
    facts: Sequence[Fact]
    answers: Sequence[PageAnswer]
    warnings: Sequence[str]
    notes: Sequence[str]
    sections: Sequence[PageSection]

    def render(self) -> str:
        """Return the HTML: the same page gives the same text.

        Raises
        ------
        PageError
            Jinja2 is not installed.
        """
        check_page()
        environment = _environment()
        loader = environment.loader
        assert loader is not None
        script = loader.get_source(environment, "page.js")[0]
        digest = hashlib.sha256(script.encode()).digest()
        return environment.get_template("page.html").render(
            page=self, script=script, script_hash=base64.b64encode(digest).decode()
        )

    def write(self, path: Path) -> None:
        """Write the HTML into a file, whole or not at all.

        Raises
        ------
        PageError
            Jinja2 is not installed, or a name that does not end in .html.
        TicketError
            A file that cannot be written.
        """
        check_page(path)
        text = self.render()
        with replacing(path) as (file,):
            file.write_text(text, encoding="utf-8")


def check_page(path: Path | None = None) -> None:
    """Refuse a page that could not be made, before any work for it.

    Raises
    ------
    PageError
        matplotlib or Jinja2 is not installed, or a name that does not end in .html.
    """
    if path is not None and path.suffix.lower() not in (".html", ".htm"):
        raise PageError(f"{path}: a report is a page; give a name that ends in .html")
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise PageError(
                f"reports need {name}; install it with "
                "python -m pip install -e '.[plots]'"
            )


@cache
def _environment() -> Environment:
    """Find the template; whatever a file of others says is text in it, not HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("hwmodel.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
