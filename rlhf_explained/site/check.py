"""What MkDocs does not check: the built HTML. Links, fragments, ids, alt texts, other origins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser

_LOADS = {  # elements that load what an attribute names, without being asked
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
_LINKS_THAT_LOAD = ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload")


@dataclass(frozen=True)
class Fault:
    """Something wrong in a built page.

    Attributes:
        page: The HTML or CSS file.
        what: What is wrong, and why.
        words: How it stands in the HTML; often its source has the same words.
    """

    page: Path
    what: str
    words: str


@dataclass
class _Page:
    """What one HTML file names and loads."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tree = LexborHTMLParser(self.path.read_text(encoding="utf-8"))
        for node in tree.css(f":is({', '.join(['[id]', 'a', 'link', *_LOADS])})"):
            named = {name: value or "" for name, value in node.attributes.items()}
            self._look_at(node.tag or "", named)

    def _look_at(self, tag: str, named: dict[str, str]) -> None:
        """Note what an element names and loads."""
        if name := named.get("id"):
            if name in self.ids:
                what = f"two elements have the id {name!r}: name one of them anew"
                self.faults.append((what, f'id="{name}"'))
            self.ids.add(name)
        if tag == "a":
            self.ids.add(named.get("name", ""))
            if "href" in named:
                self.links.append(named["href"])
        elif tag == "link" and named.get("rel", "") in _LINKS_THAT_LOAD:
            self.loads.append(named.get("href", ""))
        for name in _LOADS.get(tag, ()):
            if name in named:
                self.loads.append(named[name])
        if tag == "img" and not named.get("alt"):
            source = named.get("src", "")[:60]
            if "alt" not in named or "twemoji" not in named.get("class", ""):
                what = f"the image {source!r} has no alt text: say what it shows"
                self.faults.append((what, source))


def faults(site: Path, address: str = "") -> Iterator[Fault]:
    """Check all pages of a built site.

    Args:
        site: The folder that was built.
        address: Where it is published; absolute links to there are checked too.

    Yields:
        Each fault.
    """
    prefix = urlsplit(address).path.rstrip("/") + "/"
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    for page in pages.values():
        for what, words in page.faults:
            yield Fault(page.path, what, words)
        for link in page.links:
            why = _broken(link, page.path, site, pages, address, prefix)
            if why:
                yield Fault(page.path, f"the link {link!r} leads nowhere: {why}", link)
        for load in page.loads:
            why = _foreign(load) or _broken(load, page.path, site, pages, address, prefix)
            if why:
                yield Fault(page.path, f"{load[:80]!r} is loaded: {why}", load)
    for sheet in sorted(site.rglob("*.css")):
        for load in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8")):
            why = _foreign(load) or _broken(load, sheet, site, pages, address, prefix)
            if why:
                yield Fault(sheet, f"{load[:80]!r} is loaded: {why}", load)


def _foreign(load: str) -> str:
    parts = urlsplit(load)
    if not load.strip():
        return "it is empty"
    foreign = parts.netloc and parts.scheme != "data"
    return "it comes from another origin: put it into docs/assets" if foreign else ""


def _broken(
    link: str, page: Path, site: Path, pages: dict[Path, _Page], address: str, prefix: str
) -> str:
    """Say why a link is broken; nothing if it is whole or leads out of the site."""
    if address and link.startswith(address):
        link = "/" + link.removeprefix(address).lstrip("/")
    elif link.startswith(prefix) and prefix != "/":
        link = "/" + link.removeprefix(prefix)
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    target = page
    if parts.path.startswith("/"):
        target = site / unquote(parts.path).lstrip("/")
    elif parts.path:
        target = page.parent / unquote(parts.path)
    target = Path(*_normal(target))
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or not target.is_relative_to(site):
        return "no such file; name one that is there"
    fragment = unquote(parts.fragment)
    if fragment and target in pages and fragment not in pages[target].ids:
        return f"{target.relative_to(site)} has no {fragment!r}"
    return ""


def _normal(path: Path) -> tuple[str, ...]:
    """The parts of a path with `..` taken away, links left alone."""
    kept: list[str] = []
    for part in path.parts:
        if part == "..":
            kept.pop()
        else:
            kept.append(part)
    return tuple(kept)
