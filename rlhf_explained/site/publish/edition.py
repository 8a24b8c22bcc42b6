"""The whole guide on one page, put together from the pages as they were rendered.

Nothing is rendered twice: each chapter's HTML is taken as it is, its ids get the chapter's name in
front so that they stay unique, and its links are led to where they are right from the new place.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink
from mkdocs.utils import get_relative_url

from rlhf_explained import memo
from rlhf_explained.site.publish.head import heading, name

_TAG = re.compile(r"<(/?[a-zA-Z][\w:-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_NAMES = re.compile(
    r"(?<=\s)(id|for|name|headers|list|aria-(?:labelledby|describedby|controls|owns|details))"
    r"=\"([^\"]*)\""
)
_LINKS = re.compile(r"(?<=\s)((?:xlink:)?href|src)=\"([^\"]*)\"")
_PAINT = re.compile(r"url\(#([^)]+)\)")
# A figure's numbers and the controls of a quiz are no use on paper.
_LEFT_OUT = re.compile(
    r"<details\b[^>]*>\s*<summary>Data</summary>.*?</details>"
    r"|<(form|label|legend|button|script)\b.*?</\1>|<input\b[^>]*>",
    re.S,
)


# After a script a browser goes on in a new task. It would take in the second half of the edition at
# one go, and on a slow phone not answer meanwhile.
_PAUSE = "<script>0</script>"


@dataclass(frozen=True)
class Chapter:
    """A page as it stands in the edition.

    Attributes:
        name: What its ids begin with, and the id of the whole chapter.
        url: Its address in the site.
        title: Its title.
        content: Its HTML.
    """

    name: str
    url: str
    title: str
    content: str


def chapters(pages: Sequence[Page], wanted: Sequence[str]) -> list[Chapter]:
    """The pages of an edition.

    Args:
        pages: All pages in reading order, rendered.
        wanted: Beginnings of the paths of those that belong to it.

    Returns:
        Them, in reading order.
    """
    return [
        Chapter(
            name(page),
            page.url,
            heading(page),
            page.content or "",
        )
        for page in pages
        if page.file.src_uri.startswith(tuple(wanted))
    ]


def composed(parts: Sequence[Chapter], url: str) -> str:
    """Put chapters together.

    Args:
        parts: The chapters.
        url: The address of the page that they come to stand on.

    Returns:
        HTML: a list of the chapters, then each of them in a section.
    """
    names = {part.url: part.name for part in parts}
    items = "\n".join(
        f'<li><a href="#{part.name}">{html.escape(part.title)}</a></li>' for part in parts
    )
    sections = "\n".join(
        f'{_PAUSE}<section class="chapter" id="{part.name}">\n{moved(part, url, names)}\n</section>'
        for part in parts
    )
    return f'<ol class="contents">\n{items}\n</ol>\n{sections}\n'


def moved(part: Chapter, url: str, names: Mapping[str, str]) -> str:
    """A chapter's HTML as it has to be on another page.

    Headings go down a level, hidden text is open, ids are the chapter's own.

    Args:
        part: The chapter.
        url: The address of the other page.
        names: The names of all chapters there, by their addresses.

    Returns:
        Its HTML.
    """

    def named(found: re.Match[str]) -> str:
        values = " ".join(f"{part.name}--{name}" for name in found[2].split())
        return f'{found[1]}="{values}"'

    def led(found: re.Match[str]) -> str:
        link = _led(html.unescape(found[2]), part, url, names)
        return f'{found[1]}="{html.escape(link)}"'

    def rewritten(found: re.Match[str]) -> str:
        tag, attributes = found[1], found[2]
        if len(tag.lstrip("/")) == 2 and tag[-1] in "12345" and tag[-2] == "h":
            tag = f"{tag[:-1]}{int(tag[-1]) + 1}"
        elif tag.endswith("fieldset"):  # its controls are gone
            tag = tag.replace("fieldset", "div")
        elif tag == "details" and not re.search(r"\sopen\b", attributes):
            tag = "details open"
        if "=" in attributes:
            attributes = _NAMES.sub(named, attributes)
            attributes = _LINKS.sub(led, attributes)
            attributes = _PAINT.sub(rf"url(#{part.name}--\1)", attributes)
        return f"<{tag}{attributes}>"

    return _TAG.sub(rewritten, _LEFT_OUT.sub("", part.content))


def _led(link: str, part: Chapter, url: str, names: Mapping[str, str]) -> str:
    """Where a link of a chapter leads from the edition."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or parts.path.startswith("/"):
        return link
    path = urlsplit(urljoin(f"file:///{part.url}", link)).path.lstrip("/")
    anchor = unquote(parts.fragment)
    name = part.name if not parts.path else names.get(unquote(path))
    if name:
        return f"#{name}--{anchor}" if anchor else f"#{name}"
    return get_relative_url(path, url) + (f"#{parts.fragment}" if anchor else "")


def outline(parts: Sequence[Chapter]) -> list[AnchorLink]:
    """The chapters as a table of contents."""
    return [AnchorLink(part.title, part.name, 2) for part in parts]


def digest(content: str, looks: Sequence[Path]) -> str:
    """What an edition is told by: a PDF made from another one is not offered.

    Args:
        content: Its HTML.
        looks: The files that decide how it is printed.

    Returns:
        20 hexadecimal digits.
    """
    return memo.key(content=content, looks=memo.digest(looks))
