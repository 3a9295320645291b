"""Figures inside a page: SVG that has the page's colours, and can be pointed at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from hwmodel.figures.canvas import svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS_PER_POINT = 4 / 3
NARROWEST = 640  # pixels; narrower boxes scroll


def page_svg(
    figure: Figure,
    key: str,
    description: str,
    tips: Mapping[str, str | Sequence[str]] | None = None,
) -> str:
    """Write a figure for a page.

    Parameters
    ----------
    figure : Figure
        What was drawn, in `drawing`.
    key : str
        Its name in the page: names inside it begin with this one.
    description : str
        What is seen, for who cannot see it.
    tips : mapping of str to str or sequence of str, optional
        By ``gid`` of an artist, what is said of it, or of each of its points.

    Returns
    -------
    str
        An element ``svg``: black follows the page's text, white its background.
    """
    text = svg_of(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = _with_tips(text, tips or {})
    text = _with_own_names(text, key)
    text = text.replace("#000000", "currentColor")
    text = re.sub(r'style="[^"]*"', _on_the_page, text)
    return _opened(text, description)


def _with_tips(text: str, tips: Mapping[str, str | Sequence[str]]) -> str:
    """Put what is said of the artists where their names are."""

    def told(match: re.Match[str]) -> str:
        said = tips.get(match[1])
        if said is None:
            return match[0]
        if isinstance(said, str):
            return f'data-tip="{escape(said)}"'
        return f'data-tips="{escape(json.dumps(list(said)))}"'

    return re.sub(r'\bid="([^"]*)"', told, text) if tips else text


def _with_own_names(text: str, key: str) -> str:
    """Keep the names that something refers to, each once in a page."""
    text = text.replace("xlink:href", "href")
    used = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', text))
    names = {name for pair in used for name in pair if name}

    def renamed(match: re.Match[str]) -> str:
        return f' id="{key}-{match[1]}"' if match[1] in names else ""

    text = re.sub(r'\s+id="([^"]*)"', renamed, text)
    text = re.sub(r"url\(#", f"url(#{key}-", text)
    return re.sub(r'href="#', f'href="#{key}-', text)


def _on_the_page(match: re.Match[str]) -> str:
    return match[0].replace("#ffffff", "var(--card)")


def _opened(text: str, description: str) -> str:
    """Begin the element anew: as wide as there is room, with its description."""
    end = text.index(">")
    box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', text[:end])
    assert box
    width = PIXELS_PER_POINT * float(box[1])
    return (
        f'<svg role="img" aria-label="{escape(description)}" {box[0]} '
        f'style="max-width: {width:.0f}px; min-width: {min(width, NARROWEST):.0f}px"'
        f"{text[end:]}"
    )
