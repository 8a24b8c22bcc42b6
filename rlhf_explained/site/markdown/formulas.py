"""TeX to MathML while the site builds, by Temml, so that formulas need no script on a page."""

from __future__ import annotations

import functools
import html
import math
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from rlhf_explained.site import faults

# what browsers neither need nor read (MathML Core), and what the stylesheet says
_NEEDLESS = re.compile(r' (?:separator|fence)="(?:true|false)"| style="display:block math;"')


_CONSTANTS = {
    r"\\[dt]?frac\{([\d.]+)\}\{([\d.]+)\}": operator.truediv,
    r"([\d.]+)\^\{?(-?\d+)\}?": operator.pow,
    r"\\sqrt\{([\d.]+)\}": math.sqrt,
    r"\\log *([\d.]+)": math.log,
}
_SYMBOLS = re.compile(r"\\(?:text|mathrm)\{[^}]*\}|\\[A-Za-z]+|[A-Za-z]")
_NO_SYMBOLS = {r"\dots", r"\mid"}


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
        why = f"{refers[0]} finds no other formula"
        raise FormulaError(f"does not parse: {why}: say in words which one is meant")
    if bare := re.search(r"(?<!\\)([_^])([A-Za-z]{2,}|\d{2,})", tex):
        why = f"only the first sign of {bare[2]!r} is moved"
        raise FormulaError(f"is not meant so: {why}; write `{bare[1]}{{{bare[2]}}}`")
    _check_equation(tex)
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
        raise FormulaError(f"does not parse: {why}; mend its TeX") from None


def _check_equation(tex: str) -> None:
    """Refuse an equation of numbers whose sides differ by more than the last digit on the right."""
    sides = re.split(r"=|\\approx", tex)
    try:
        left, right = _worth(sides[0]), _worth(sides[-1])
    except (ValueError, ArithmeticError):
        return  # there are letters in it
    first = re.search(r"\d+\.?(\d*)", sides[-1])
    last_digit = 10 ** -len(first[1]) * abs(right / float(first[0])) if first and right else 1
    if abs(left - right) > 0.5001 * last_digit:
        raise FormulaError(f"does not hold: it says {left:.6g} = {right:.6g}; mend one side")


def _worth(side: str) -> float:
    """What numbers come to, with signs between them."""
    side = re.sub(r"\\[,;]|(?<=\d)\{?,\}?(?=\d{3})", "", side)
    for sign, function in _CONSTANTS.items():
        side = re.sub(sign, functools.partial(_worked_out, function), side)
    terms = (re.split(r"\\cdot|\\times", term) for term in side.replace("- ", "+ -").split("+"))
    return math.fsum(math.prod(map(float, factors)) for factors in terms)


def _worked_out(function: Callable[..., float], found: re.Match[str]) -> str:
    return f"{function(*map(float, found.groups())):.15f}"


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
        self._find_strangers(root)

    @staticmethod
    def _find_strangers(root: Element) -> None:
        """Find symbols that a list explains below a formula in which they do not stand."""
        met: set[str] = set()
        for part in root:
            here = [each for each in part.iter() if each.get("class") == "math"]
            if part.tag in ("h2", "h3", "h4"):
                met.clear()
            if part.tag != "ul":
                met.update(*(_SYMBOLS.findall(each.get("data-tex", "")) for each in here))
            for symbol in here if part.tag == "ul" and met else ():
                tex, explained = symbol.get("data-tex", ""), (symbol.tail or "").startswith(":")
                if explained and not met >= {*_SYMBOLS.findall(tex)} - _NO_SYMBOLS:
                    why = f"`{tex}` does not stand in the formula above: mend one of them"
                    place = rf"(?m)^[# ]*[-*+] \$ ?{re.escape(tex)} ?\$"
                    symbol.set("class", "fault")
                    symbol.text = faults.element("", why, place).text

    def _render(self, element: Element, tex: str, display: bool) -> None:
        element.set("class", "math")
        if display:
            element.set("tabindex", "0")  # it scrolls where it is too wide
        element.set("data-tex", tex)  # for the site as plain text, and for who copies it
        try:
            if not display and re.match(r"\d", element.tail or ""):
                raise FormulaError("is none, its dollars are money: write `\\$` for each")
            rendered = mathml(tex, display=display)
        except FormulaError as error:
            first = re.escape(tex.split("\n")[0])  # and not another one that begins like it
            why = f"the formula `{tex}` {error}"
            element.text = faults.element("", why, rf"(?m){first} *(?:\$|\\[])]|$)").text
            element.set("class", "fault")
        else:
            element.text = AtomicString(self.md.htmlStash.store(rendered))
