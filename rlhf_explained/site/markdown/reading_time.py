"""How long a page takes, what it teaches, and names for the links that are only a sign."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from rlhf_explained.site import faults
from rlhf_explained.site.markdown.unread import Source, fenced

WORDS, LINES, PICTURES = 200, 20, 4  # of prose, of code or output, figures or samples: per minute
DOCS = Path("docs")  # below the working folder, as MkDocs and Zensical have it

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
    skipped = -1  # the indentation of a block of words, or -1
    text = re.sub(r"\A---\n.*?\n---\n|<!--.*?-->", "", text, flags=re.S)
    for line, fence in fenced(text.split("\n")):
        depth = len(line) - len(line.lstrip())
        is_drawing = fence and fence[2] == "text" and "title=" not in fence[3]
        is_picture = fence and fence[2] in ("figure", "samples", "explore")
        if fence and line is not fence.string:
            words += len(line.split()) if is_drawing else 0
            code += bool(line.strip()) and not is_drawing and not is_picture
            continue
        skipped = -1 if line.strip() and depth <= skipped else skipped
        if fence:
            pictures += bool(is_picture)
        elif line.lstrip().startswith("??? words"):
            skipped = depth
        elif skipped < 0:
            words += len(_WORD.findall(_ADDRESS.sub("", line)))
    return max(1, round(words / WORDS + code / LINES + pictures / PICTURES))


def in_words(count: int) -> str:
    """Minutes, written out, such as `7 minutes`."""
    return f"{count} minute{'' if count == 1 else 's'}"


class Learn(Treeprocessor):
    """Adds the time to `!!! learn "What you'll learn"`, which every chapter of the guide has."""

    def __init__(self, md: Markdown, source: Source) -> None:
        super().__init__(md)
        self.source = source

    def run(self, root: Element) -> None:
        """The box stands right below the title."""
        titles = [place for place, child in enumerate(root) if child.tag == "h1"]
        if not titles:
            return
        below = root[titles[0] + 1 : titles[0] + 2]
        if below and below[0].get("class") == "admonition learn":
            time = SubElement(below[0][0], "span", {"class": "time"})
            taken = minutes("\n".join(self.source.lines))
            time.text = AtomicString(f" · {in_words(taken)}")
        elif faults.is_chapter():
            why = (
                'no `!!! learn "What you\'ll learn"` right below the title: write two to four lines'
            )
            root.insert(titles[0] + 1, faults.element("div", why, r"(?m)^# "))


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
