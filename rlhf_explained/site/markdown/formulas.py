"""TeX to MathML while the site builds, by Temml, so that formulas need no script on a page."""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from rlhf_explained.site import faults

# what browsers neither need nor read (MathML Core), and what the stylesheet says
_NEEDLESS = re.compile(r' (?:separator|fence)="(?:true|false)"| style="display:block math;"')


class FormulaError(ValueError):
    """A formula that Temml cannot parse; the message says where and why."""


@functools.cache
def _temml() -> Any:
    import dukpy  # a JavaScript engine; only a page with a formula pays for loading it

    engine = dukpy.JSInterpreter()
    engine.evaljs((Path(__file__).parents[1] / "vendor/temml/temml.min.js").read_text("utf-8"))
    return engine


@functools.lru_cache(maxsize=4096)
def mathml(tex: str, *, display: bool) -> str:
    """Render one formula.

    Args:
        tex: The formula, without its dollars.
        display: Whether it stands on a line of its own.

    Returns:
        A `<math>` element.

    Raises:
        FormulaError: If the formula does not parse, or refers to another one.
    """
    import dukpy

    if refers := re.search(r"\\(?:label|ref|eqref)\b", tex):
        raise FormulaError(f"{refers[0]} finds no other formula: say in words which one is meant")
    try:
        rendered = _temml().evaljs(
            "temml.renderToString(dukpy.tex, {displayMode: dukpy.display, throwOnError: true})",
            tex=tex,
            display=display,
        )
        return _NEEDLESS.sub("", rendered)
    except dukpy.JSRuntimeError as error:
        # "ParseError: why at position 3: the formula with marks", then a JavaScript stack
        why = str(error).split("\n")[0].removeprefix("ParseError:").strip()
        why = re.split(r" at (?:position \d+|end of input): ", why)[0]
        raise FormulaError(f"{why}; mend its TeX") from None


class Formulas(Treeprocessor):
    """Turns what `pymdownx.arithmatex` (generic) recognised as TeX into MathML."""

    def run(self, root: Element) -> None:
        """Replace the text of every element of class `arithmatex`."""
        for element in root.iter():
            if element.get("class") == "arithmatex":
                display = element.tag == "div"
                # arithmatex escapes a block but not inline TeX, and wraps both: \[…\], \(…\)
                text = html.unescape(element.text or "") if display else element.text or ""
                self._render(element, text.strip()[2:-2].strip(), display)

    def _render(self, element: Element, tex: str, display: bool) -> None:
        element.set("class", "math")
        if display:
            element.set("tabindex", "0")  # it scrolls where it is too wide
        element.set("data-tex", tex)  # for the site as plain text, and for who copies it
        try:
            rendered = mathml(tex, display=display)
        except FormulaError as error:
            first = re.escape(tex.split("\n")[0])  # and not another one that begins like it
            why = f"the formula `{tex}` does not parse: {error}"
            element.text = faults.element("", why, rf"(?m){first} *(?:\$|\\[])]|$)").text
            element.set("class", "fault")
        else:
            element.text = AtomicString(self.md.htmlStash.store(rendered))
