"""Box drawings for everyone: a drawing is one picture with a name, and its words stand below it.

To a screen reader box characters are noise, so a drawing is an image there. What it says is said
again in plain Markdown, in a block right below it that everybody can open:

    ??? words "In words"

        The pretrained model goes through three stages, one after the other. …
"""

from __future__ import annotations

import html
import re
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE

from rlhf_explained.site.faults import element
from rlhf_explained.site.markdown.frames import BOX

TEXT = re.compile(r'<div class="language-text highlight"><pre>(?:<span></span>)?<code>(.*?)</code>', re.S)  # fmt: skip # noqa: E501
CURE = (
    'the diagram has no words: write them in a `??? words "In words"` right below it '
    "(in a notebook, in `<details><summary>In words</summary>`)"
)


def title(drawing: str) -> str:
    """The first words of a drawing, which name it.

    Args:
        drawing: Its lines.

    Returns:
        The first line that holds more than lines and arrows.
    """
    for line in BOX.sub(" ", drawing).split("\n"):
        if re.search(r"\w", line):
            return line.strip()
    return ""


def opening(drawing: str) -> str:
    """What to write between `<code` and `>` of a drawing.

    Args:
        drawing: Its lines.

    Returns:
        Attributes that make one image of it, which search leaves out in favour of its words and
        the keyboard can scroll.
    """
    called = ": ".join(filter(None, ("Diagram", title(drawing))))
    name = html.escape(f"{called}. What it says is written below it, in words.")
    return f' role="img" aria-label="{name}" tabindex="0" data-search-exclude'


class Diagrams(Treeprocessor):
    """Makes pictures of the `text` fences that hold a box drawing."""

    def run(self, root: Element) -> None:
        """Find each by what superfences has put into the stash for it."""
        for parent in list(root.iter()):
            for place, child in enumerate(list(parent)):
                number = self._stashed(child)
                stashed = "" if number is None else self.md.htmlStash.rawHtmlBlocks[number]
                found = TEXT.match(stashed if isinstance(stashed, str) else "")
                if number is None or not found or not BOX.search(found[1]):
                    continue
                drawing = html.unescape(found[1])
                drawn = found[0].replace("<pre>", '<pre class="diagram">')
                drawn = drawn.replace("<code>", f"<code{opening(drawing)}>")
                self.md.htmlStash.rawHtmlBlocks[number] = drawn + stashed[found.end() :]
                below = parent[place + 1] if place + 1 < len(parent) else None
                if below is None or below.get("class") != "words":
                    parent.append(element("div", CURE, re.escape(title(drawing))))

    @staticmethod
    def _stashed(child: Element) -> int | None:
        text = (child.text or "").strip() if child.tag == "p" and not len(child) else ""
        held = HTML_PLACEHOLDER_RE.fullmatch(text)
        return int(held[1]) if held else None


def register(md: Markdown) -> None:
    """After the fences (30), before words are inline Markdown (20)."""
    md.treeprocessors.register(Diagrams(md), "rlhf-diagrams", 28)
