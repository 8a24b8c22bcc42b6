"""The site's Markdown extension: `figure` and `samples` fences, `{{ value: … }}`, MathML, the quiz.

It needs no MkDocs: any program that runs Python-Markdown extensions shows the same pages.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE, AtomicString
from pygments.token import STANDARD_TYPES, Token

from rlhf_explained import figures, measured
from rlhf_explained.figures import cached
from rlhf_explained.site.faults import element as _fault
from rlhf_explained.site.faults import nearest, raised, report
from rlhf_explained.site.markdown import diagrams, figure, glossary, learn, samples
from rlhf_explained.site.markdown.formulas import FormulaError, mathml
from rlhf_explained.site.markdown.quiz import Quiz
from rlhf_explained.site.markdown.ways import Ways
from rlhf_explained.site.shown_run import current_run

# What looks like plain text, or may: keywords, strings and comments are enough to find one's way.
# Without a tag on each name, number and mark, code has a third of the bytes.
_PLAIN = (
    *(Token.Keyword.Constant, Token.Punctuation, Token.Text.Whitespace),
    *(Token.String.Affix, Token.String.Interpol),
    *(kind for kind in STANDARD_TYPES if kind[:1] in (("Name",), ("Operator",))),
    *(kind for kind in STANDARD_TYPES if kind in Token.Number),
)
STANDARD_TYPES.update(dict.fromkeys(_PLAIN, ""))  # pyright: ignore[reportAttributeAccessIssue]


class Headers(Preprocessor):
    """Reports words after a fence's name, which superfences takes for the start of inline code."""

    _HEADER = re.compile(r"[ >]*(?:`{3,}|~{3,}) *(figure|samples) *([^\s`].*)")

    def run(self, lines: list[str]) -> list[str]:
        """Look, and change nothing."""
        for line in lines:
            if found := self._HEADER.fullmatch(line):
                what = f"{found[1]} takes nothing on its first line: put {found[2]!r} below it"
                report(what, re.escape(line.strip()))
        return lines


class Blocks(Treeprocessor):
    """Builds the elements of our fences where the page is a tree and captions are still Markdown.

    Superfences swallows what a formatter raises and stashes what it returns as finished HTML. So a
    formatter here only puts the fence aside; its element is built later, among the page's other
    Markdown, so that links in a caption are checked and values and formulas in it are expanded.
    """

    def __init__(self, md: Markdown) -> None:
        super().__init__(md)
        self.aside: dict[str, tuple[Callable[[str, Blocks], Element], str]] = {}
        self.count: Counter[str] = Counter()

    def put_aside(self, build: Callable[[str, Blocks], Element], source: str) -> str:
        """Keep a fence for later; the answer stands in the stash for it meanwhile."""
        self.count["fences"] += 1
        marker = f"<!-- fence {self.count['fences']} -->"
        self.aside[marker] = (build, source)
        return marker

    def run(self, root: Element) -> None:
        """Replace each paragraph that holds nothing but a fence of ours."""
        for parent in list(root.iter()):
            for place, child in enumerate(list(parent)):
                text = (child.text or "").strip() if child.tag == "p" and not len(child) else ""
                held = HTML_PLACEHOLDER_RE.fullmatch(text)
                marker = self.md.htmlStash.rawHtmlBlocks[int(held[1])] if held else None
                if marker in self.aside:
                    build, source = self.aside.pop(marker)
                    parent[place] = build(source, self)
                    parent[place].tail = child.tail
        for _, source in self.aside.values():
            first = source.strip().split("\n")[0].strip()
            why = f"the fence of {first!r} touches other text: leave a blank line around it"
            root.append(_fault("div", why, re.escape(first)))
        self.aside.clear()


def figure_fence(
    source: str, language: str, css_class: str, options: Any, md: Markdown, **rest: Any
) -> str:
    """Superfences formatter of `figure` fences."""
    return _blocks(md).put_aside(figure_element, source)


def samples_fence(
    source: str, language: str, css_class: str, options: Any, md: Markdown, **rest: Any
) -> str:
    """Superfences formatter of `samples` fences."""
    return _blocks(md).put_aside(samples_element, source)


def html_fence(
    source: str, language: str, css_class: str, options: Any, md: Markdown, **rest: Any
) -> str:
    """Superfences formatter of what is HTML already, such as the outputs of notebooks."""
    return source


def _blocks(md: Markdown) -> Blocks:
    blocks = md.treeprocessors["rlhf-blocks"]
    assert isinstance(blocks, Blocks)
    return blocks


def figure_element(source: str, blocks: Blocks) -> Element:
    """Build `<figure>` from the name and the caption of a figure.

    Args:
        source: The figure's name on the first line, its caption below.
        blocks: The page's fences; its stash takes the SVG.

    Returns:
        The element, its caption still Markdown.
    """
    name, _, caption = source.strip().partition("\n")
    name = name.strip()
    place = rf"(?m)^[ >]*(`{{3,}}|~{{3,}}) *\{{?\.?figure.*\n[ >]*{re.escape(name)}[ ]*$"
    if name not in figures.FIGURES:
        return _fault("div", f"unknown figure {name!r}; {nearest(name, figures.FIGURES)}", place)
    run = current_run()
    try:
        alt = figures.alt_text(name, run).strip()
    except ValueError as error:
        return _fault("div", f"the alt text of figure {name!r}: {error}", place)
    if not alt:
        why = f"figure {name!r} has no alt text: write one in rlhf_explained/figures/__init__.py"
        return _fault("div", why, place)
    blocks.count[name] += 1
    try:
        return figure.element(name, alt, caption, run, blocks.md.htmlStash, blocks.count[name])
    except cached.DrawingError as error:
        why = f"figure {name!r} cannot be drawn: {error}; mend that line"
        return _fault("div", why, place)


def samples_element(source: str, blocks: Blocks) -> Element:
    """Build a table or cards of responses from the options of a `samples` fence.

    Args:
        source: The lines of the fence.
        blocks: Not needed.

    Returns:
        The element, its caption still Markdown.
    """
    try:
        return samples.element(samples.parse(source), current_run())
    except ValueError as error:
        first = re.escape(source.strip().split("\n")[0].strip())
        return _fault("div", f"samples: {error}", rf"{first}")


class Values(InlineProcessor):
    """`{{ value: name }}` becomes the measured value. Code is matched earlier and keeps it."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element, int, int]:  # type: ignore[override]  # noqa: N802
        """Look the value up in the run."""
        name = m[1]
        run = current_run()
        place = rf"\{{\{{\s*value:\s*{re.escape(name)}\s*\}}\}}"
        if name not in measured.names():
            what = f"unknown value {name!r}; {nearest(name, measured.names())}"
            return _fault("span", what, place), m.start(), m.end()
        try:
            value = measured.value(name, run)
        except Exception as error:  # the code of one value
            what = f"value {name!r} cannot be computed: {raised(error)}; mend that line"
            return _fault("span", what, place), m.start(), m.end()
        look = "measured sentence" if len(value.text) > 40 else "measured"
        element = Element("span", {"class": look, "title": f"Measured: {value.note}"})
        element.text = AtomicString(value.text)
        return element, m.start(), m.end()


class Tables(Treeprocessor):
    """Empty heads of tables become cells, and a row of nothing else goes: a head names something.

    Markdown has no other way to write a table whose corner, or whose first row, says nothing.
    """

    def run(self, root: Element) -> None:
        """Look at each table's head."""
        for table in root.iter("table"):
            for head in table.findall("thead"):
                names = [cell for cell in head.iter("th") if not "".join(cell.itertext()).strip()]
                if len(names) == len(list(head.iter("th"))):
                    table.remove(head)
                for cell in names:
                    cell.tag = "td"


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
            fault = _fault(element.tag, why, rf"(?m){first} *(?:\$|\\[])]|$)")
            element.set("class", "fault")
            element.text = fault.text
        else:
            element.text = AtomicString(self.md.htmlStash.store(rendered))


class RLHFExplained(Extension):
    """Registers the above."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Blocks come before inline Markdown (20), formulas after it; values after code (190)."""
        md.preprocessors.register(Headers(md), "rlhf-headers", 26)  # superfences: 25
        md.treeprocessors.register(Blocks(md), "rlhf-blocks", 30)
        md.treeprocessors.register(Quiz(md), "rlhf-quiz", 25)
        md.treeprocessors.register(Formulas(md), "rlhf-formulas", 15)
        md.treeprocessors.register(Tables(md), "rlhf-tables", 14)
        pattern = r"\{\{\s*value:\s*([^\s{}]+)\s*\}\}"
        md.inlinePatterns.register(Values(pattern, md), "rlhf-values", 185)
        md.postprocessors.register(Ways(md), "rlhf-ways", 0)  # when all HTML is in its place
        for part in (diagrams, learn, glossary):
            part.register(md)


def makeExtension(**settings: Any) -> RLHFExplained:  # noqa: N802
    """What Python-Markdown calls."""
    return RLHFExplained(**settings)
