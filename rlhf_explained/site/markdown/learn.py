"""How long a page takes, what it teaches, and names for the links that are only a sign."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from rlhf_explained.site import faults

WORDS, LINES, PICTURES = 200, 20, 4  # of prose, of code or output, figures or samples: per minute
DOCS = Path("docs")  # below the working folder, as MkDocs and Zensical have it

_FENCE = re.compile(r" *(`{3,}|~{3,})\s*\{?\.?(\w*)(.*)")
_WORD = re.compile(r"\w[\w'’.,-]*")
_ADDRESS = re.compile(r"\]\([^)]*\)")


def minutes(text: str) -> int:
    """How long reading a page takes.

    What is hidden until asked counts too; a drawing counts once, not again in words.

    Args:
        text: The page's Markdown, with or without its front matter.

    Returns:
        Whole minutes, at least one.
    """
    words = code = pictures = 0
    fence, kind, skipped = "", "", -1  # skipped: the indentation of a block of words, or -1
    for line in re.sub(r"\A---\n.*?\n---\n|<!--.*?-->", "", text, flags=re.S).split("\n"):
        depth = len(line) - len(line.lstrip())
        if not fence and line.strip() and depth <= skipped:
            skipped = -1
        opened = _FENCE.fullmatch(line) if "```" in line or "~~~" in line else None
        if fence:
            fence = "" if line.strip() == fence else fence
            code += bool(line.strip()) and kind == "code"
            words += len(line.split()) if kind == "drawing" else 0
        elif opened:
            fence = opened[1]
            drawn = opened[2] == "text" and "title=" not in opened[3]
            shown = opened[2] in ("figure", "samples")
            kind = "picture" if shown else "drawing" if drawn else "code"
            pictures += shown
        elif line.lstrip().startswith("??? words"):
            skipped = depth
        elif skipped < 0:
            words += len(_WORD.findall(_ADDRESS.sub("", line)))
    return max(1, round(words / WORDS + code / LINES + pictures / PICTURES))


def in_words(count: int) -> str:
    """Minutes, written out.

    Args:
        count: How many.

    Returns:
        Such as `7 minutes`.
    """
    return f"{count} minute{'' if count == 1 else 's'}"


class Source(Preprocessor):
    """Keeps a page's Markdown before anything is made of it."""

    lines: list[str]

    def run(self, lines: list[str]) -> list[str]:
        """Look, and change nothing."""
        self.lines = lines
        return lines


class Learn(Treeprocessor):
    """Adds the time to `!!! learn "What you'll learn"`, which every chapter of the guide has."""

    def __init__(self, md: Markdown, source: Source) -> None:
        super().__init__(md)
        self.source = source

    def run(self, root: Element) -> None:
        """The box stands right below the title."""
        children = list(root)
        titles = [place for place, child in enumerate(children) if child.tag == "h1"]
        if not titles:
            return
        below = children[titles[0] + 1 : titles[0] + 2]
        if below and below[0].get("class") == "admonition learn":
            heading = below[0][0]
            time = SubElement(heading, "span", {"class": "time"})
            taken = minutes("\n".join(self.source.lines))
            time.text = AtomicString(f" · {in_words(taken)}")
        elif faults.is_chapter():
            why = (
                'no `!!! learn "What you\'ll learn"` right below the title: write two to four lines'
            )
            root.insert(titles[0] + 1, faults.element("div", why, r"(?m)^# "))


class Minutes(InlineProcessor):
    """`{{ minutes: guide/*.md }}` becomes the time of those pages together."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element, int, int]:  # type: ignore[override]  # noqa: N802
        """Add them up."""
        pages = sorted(DOCS.glob(m[1]))
        if not pages:
            what = f"no page {m[1]!r} in docs/ to take the time of: name pages that are there"
            place = rf"\{{\{{\s*minutes:\s*{re.escape(m[1])}"
            return faults.element("span", what, place), m.start(), m.end()
        time = Element("span", {"class": "time"})
        times = [minutes(page.read_text(encoding="utf-8")) for page in pages]
        time.text = AtomicString(in_words(sum(times)))
        return time, m.start(), m.end()


class Signs(Treeprocessor):
    """Gives links whose text is only a sign, `¶` or `↩`, their title for a name.

    A heading that is a link to itself needs no sign.
    """

    def run(self, root: Element) -> None:
        """They are made by other extensions: here they are all there."""
        for link in root.iter("a"):
            if link.get("class") in ("headerlink", "footnote-backref") and link.get("title"):
                link.set("aria-label", link.attrib.pop("title"))
        for heading in root.iter("h2"):
            if len(heading) > 1 and heading[0].get("href") == heading[-1].get("href"):
                heading.remove(heading[-1])


def register(md: Markdown) -> None:
    """The source before all others; the box before inline Markdown (20); signs after `toc` (5)."""
    source = Source(md)
    md.preprocessors.register(source, "rlhf-source", 100)
    md.treeprocessors.register(Learn(md, source), "rlhf-learn", 27)
    md.treeprocessors.register(Signs(md), "rlhf-signs", 4)
    pattern = r"\{\{\s*minutes:\s*([^\s{}]+)\s*\}\}"
    md.inlinePatterns.register(Minutes(pattern, md), "rlhf-minutes", 184)
