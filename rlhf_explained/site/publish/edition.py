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

from mkdocs.structure.toc import AnchorLink
from mkdocs.utils import get_relative_url
from selectolax.lexbor import LexborHTMLParser

from rlhf_explained import memo

# A figure's numbers and the controls of a quiz are no use on paper.
_LEFT_OUT = "figure details.data, form, label, legend, button, script, input"
_NAMES = ("id", "for", "name", "headers", "list")
_NAMES += tuple(f"aria-{what}" for what in ("labelledby", "describedby", "controls", "details"))
_PAINTED = ("clip-path", "fill", "stroke", "mask")  # may name an element as `url(#name)`
# After a script a browser goes on in a new task. It would take in the second half of the edition at
# one go, and on a slow phone not answer meanwhile.
_PAUSE = "<script>0</script>"


@dataclass(frozen=True)
class Chapter:
    """A page as it stands in the edition.

    Attributes:
        name: What its ids begin with, and the id of its beginning.
        url: Its address in the site.
        title: Its title.
        content: Its HTML.
    """

    name: str
    url: str
    title: str
    content: str


def composed(parts: Mapping[str, Chapter], url: str) -> str:
    """Put chapters together.

    Args:
        parts: The chapters in reading order, by their addresses.
        url: The address of the page that they come to stand on.

    Returns:
        HTML: a list of the chapters, then each of them in a section. What names a section is in it,
        not around it: copy buttons take the id of what is around their code.
    """
    items = "\n".join(
        f'<li><a href="#{part.name}">{html.escape(part.title)}</a></li>' for part in parts.values()
    )
    sections = "\n".join(
        f'{_PAUSE}<section class="chapter"><span id="{part.name}"></span>\n'
        f"{moved(part, url, parts)}\n</section>"
        for part in parts.values()
    )
    return f'<ol class="contents">\n{items}\n</ol>\n{sections}\n'


def moved(part: Chapter, url: str, parts: Mapping[str, Chapter]) -> str:
    """A chapter's HTML as it has to be on another page.

    Headings go down a level, hidden text is open, ids are the chapter's own.

    Args:
        part: The chapter.
        url: The address of the other page.
        parts: All chapters there, by their addresses.

    Returns:
        Its HTML.
    """
    tree = LexborHTMLParser(f"<body>{part.content}")
    for node in tree.css(_LEFT_OUT):
        node.decompose()
    attributes = (*_NAMES, *_PAINTED, "href", "src")
    for node in tree.css(f":is(details, {', '.join(f'[{name}]' for name in attributes)})"):
        if node.tag == "details":
            node.attrs["open"] = ""
        for name in attributes:
            if not (value := node.attributes.get(name)):
                continue
            if name in ("href", "src"):
                value = _led(value, part, url, parts)
            elif name in _NAMES:
                value = " ".join(f"{part.name}--{one}" for one in value.split())
            else:
                value = value.replace("url(#", f"url(#{part.name}--")
            node.attrs[name] = value
    content = tree.body.inner_html if tree.body else ""
    content = re.sub(r"(</?)fieldset\b", r"\1div", content or "")  # its controls are gone
    return re.sub(r"(</?h)([1-5])\b", lambda found: f"{found[1]}{int(found[2]) + 1}", content)


def _led(link: str, part: Chapter, url: str, parts: Mapping[str, Chapter]) -> str:
    """Where a link of a chapter leads from the edition."""
    to = urlsplit(link)
    if to.scheme or to.netloc or to.path.startswith("/"):
        return link
    path = urlsplit(urljoin(f"file:///{part.url}", link)).path.lstrip("/")
    there = parts.get(unquote(path)) if to.path else part
    if there:
        anchor = unquote(to.fragment)
        return f"#{there.name}--{anchor}" if anchor else f"#{there.name}"
    return get_relative_url(path, url) + (f"#{to.fragment}" if to.fragment else "")


def outline(parts: Mapping[str, Chapter]) -> list[AnchorLink]:
    """The chapters as a table of contents."""
    return [AnchorLink(part.title, part.name, 2) for part in parts.values()]


def digest(content: str, looks: Sequence[Path]) -> str:
    """What an edition is told by: a PDF made from another one is not offered.

    Args:
        content: Its HTML.
        looks: The files that decide how it is printed.

    Returns:
        20 hexadecimal digits.
    """
    return memo.key(content=content, looks=memo.digest(looks))
