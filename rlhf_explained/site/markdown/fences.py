"""The site's fences: kept where Markdown finds them, built when the page is a tree.

Superfences swallows what a formatter raises and takes what it returns for finished HTML. So the
formatter here only keeps the fence; its element is built later, among the page's other Markdown:
links in a caption are checked there, and values and formulas in it are expanded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE

from rlhf_explained import figures
from rlhf_explained.figures import cached
from rlhf_explained.site.faults import element as fault
from rlhf_explained.site.faults import nearest
from rlhf_explained.site.markdown import explorable, figure, samples
from rlhf_explained.site.shown_run import current_run


def stashed(root: Element) -> Iterator[tuple[Element, int, int]]:
    """Find the paragraphs that hold nothing but finished HTML, which Markdown keeps in a stash.

    Yields:
        The element around it, its place there, and its number in the stash.
    """
    for parent in list(root.iter()):
        for place, child in enumerate(list(parent)):
            text = (child.text or "").strip() if child.tag == "p" and not len(child) else ""
            if held := HTML_PLACEHOLDER_RE.fullmatch(text):
                yield parent, place, int(held[1])


class Fences(Treeprocessor):
    """Builds the elements of a page's fences.

    Attributes:
        kept: Name and lines of each fence, by what stands for it in the stash.
        count: How often each figure stands on the page, and explorables together.
    """

    def __init__(self, md: Markdown) -> None:
        super().__init__(md)
        self.kept: dict[Any, tuple[str, str]] = {}
        self.count: Counter[str] = Counter()

    def run(self, root: Element) -> None:
        """Put each where it was found."""
        for parent, place, number in stashed(root):
            kept = self.kept.pop(self.md.htmlStash.rawHtmlBlocks[number], None)
            if kept:
                tail, parent[place] = parent[place].tail, self._element(*kept)
                parent[place].tail = tail
        for name, source in self.kept.values():
            first = source.strip().split("\n")[0].strip() or name
            why = (
                f"the fence of {first!r} stands in a footnote or touches other text: "
                "leave a blank line around it"
            )
            root.append(fault("div", why, re.escape(first)))
        self.kept.clear()

    def _element(self, name: str, source: str) -> Element:
        build = {"figure": self._figure, "samples": self._samples, "explore": self._explorable}
        return build[name](source)

    def _figure(self, source: str) -> Element:
        """A figure: its name stands on the first line, its caption below, still Markdown."""
        name, _, caption = source.strip().partition("\n")
        name = name.strip()
        below = rf"{re.escape(name)}[ ]*$" if name else r"(?:$|\1)"
        place = rf"(?m)^[ >]*(`{{3,}}|~{{3,}}) *\{{?\.?figure.*\n[ >]*{below}"
        if name not in figures.FIGURES:
            return fault("div", f"unknown figure {name!r}; {nearest(name, figures.FIGURES)}", place)
        run = current_run()
        try:
            alt = figures.alt_text(name, run).strip()
            if not alt:
                why = f"figure {name!r} has no alt text: write one beside its drawing"
                return fault("div", why, place)
            self.count[name] += 1
            stash = self.md.htmlStash
            return figure.element(name, alt, caption, run, stash, self.count[name])
        except ValueError as error:
            return fault("div", f"the alt text of figure {name!r}: {error}", place)
        except cached.DrawingError as error:
            why = f"figure {name!r} cannot be drawn: {error}; mend that line"
            return fault("div", why, place)

    def _samples(self, source: str) -> Element:
        """A table or cards of responses, by the options of the fence."""
        try:
            return samples.element(samples.parse(source), current_run())
        except ValueError as error:
            first = source.strip().split("\n")[0].strip()
            return fault(
                "div", f"samples: {error}", re.escape(first) or r"(?m)^[ >]*.{3,} *samples"
            )

    def _explorable(self, source: str) -> Element:
        """A recorded result with the button of its live part, by the options of the fence."""
        self.count["explorables"] += 1
        try:
            number = self.count["explorables"]
            return explorable.element(source, current_run(), self.md.htmlStash, number)
        except ValueError as error:
            lines = [re.escape(line.strip()) for line in source.strip().split("\n")]
            place = r"(?<=explore\n)[ >]*" + r"\n[ >]*".join(lines)
            return fault("div", f"explore: {error}", place)


def fence(
    source: str, language: str, css_class: str, options: Any, md: Markdown, **rest: Any
) -> str:
    """What superfences calls for a fence: keeps it, and returns a stand-in."""
    fences = md.treeprocessors["rlhf-fences"]
    assert isinstance(fences, Fences)
    fences.count["fences"] += 1
    marker = f"<!-- fence {fences.count['fences']} -->"
    fences.kept[marker] = (language, source)
    return marker


def html_fence(
    source: str, language: str, css_class: str, options: Any, md: Markdown, **rest: Any
) -> str:
    """What superfences calls for what is HTML already, such as the outputs of notebooks."""
    return source
