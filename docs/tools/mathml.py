"""Formulas between dollars become MathML, which browsers draw without any script."""

import html
from xml.etree.ElementTree import tostring

from latex2mathml.converter import convert_to_element
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

# In a paragraph $$…$$ stands on lines of its own, and $…$ touches what is inside.
FORMULA = r"\$\$(?P<block>.+?)\$\$|(?<![\w$])\$(?P<inline>[^\s$][^$]*?)(?<=\S)\$(?!\w)"
# Priorities of Python-Markdown: 190 takes code out, 180 unescapes; formulas in between.
PRIORITY = 185


def mathml(latex, display):
    r"""Return a formula as MathML; `display` is "block" or "inline".

    The converter knows `align*`, and not `aligned`; it writes characters as escapes,
    and what stands under max and min behind it.
    """
    element = convert_to_element(
        latex.replace("{aligned}", "{align*}"), display=display
    )
    for one in element.iter():
        one.text = one.text and html.unescape(one.text)
        if one.tag == "msub" and one[0].text in ("max", "min") and display == "block":
            one.tag = "munder"
    return tostring(element, encoding="unicode")


class Formulas(InlineProcessor):
    """The formulas of a paragraph, kept away from what else is markup in it."""

    def handleMatch(self, m, data):
        """Return what stands for a formula until the page is done, and where it was."""
        display = "inline" if m["block"] is None else "block"
        formula = mathml(m["block"] or m["inline"], display)
        return self.md.htmlStash.store(formula), m.start(0), m.end(0)


class MathML(Extension):
    """An extension of Python-Markdown, for pages and docstrings alike."""

    def extendMarkdown(self, md):
        """Look for formulas where code has been taken out, and nothing else has."""
        md.inlinePatterns.register(Formulas(FORMULA, md), "formulas", PRIORITY)
