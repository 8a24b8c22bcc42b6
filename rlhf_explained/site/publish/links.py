"""What MkDocs does not check: the built HTML. Links, fragments, ids, alt texts, other origins."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser

_LOADS = ("src", "srcset", "poster", "data")  # attributes that load what they name, unasked
_LINKS_THAT_LOAD = ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload")
_RUNS = re.compile(r"\s*(?:javascript|vbscript|data):", re.I)
_HANDLER = re.compile(r"<\w+(?:\s[^<>]*)?\s(on[a-z]+=)")


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


class _Page:
    """What one HTML file names and loads.

    Attributes:
        ids, links, loads: What it names, leads to, and loads without being asked.
        faults: What is wrong, each with its words.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids, self.links, self.loads = set[str](), list[str](), list[str]()
        self.faults: list[tuple[str, str]] = []
        content = path.read_text(encoding="utf-8")
        tree = LexborHTMLParser(content)
        for script in tree.css("article script:not([src])"):
            if script.text() != "0":  # which lets a browser pause in the edition
                self.faults.append(("no page's own script is run: take it out", "<script"))
        for handler in _HANDLER.findall(content):
            self.faults.append((f"no script of a page is run: take out {handler!r}", handler))
        loading = ", ".join(f"[{name}]" for name in _LOADS)
        for node in tree.css(f":is([id], a, link, img, image, use, {loading})"):
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
            if _RUNS.match(link := named.get("href", "")):
                what = f"the link {link[:60]!r} runs a script, which is not run: name a page"
                self.faults.append((what, f'"{link}'))
            elif "href" in named:
                self.links.append(link)
                if link.endswith(".ipynb") and "download" not in named:
                    what = f"{link!r} is a file, not a page: write .py in place of .ipynb"
                    self.faults.append((what, link))
        elif tag == "link" and named.get("rel", "") in _LINKS_THAT_LOAD:
            self.loads.append(named.get("href", ""))
        names = ("href", "xlink:href") if tag in ("image", "use") else _LOADS
        self.loads += [named[name] for name in names if name in named]
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
    links = _Links(site, address)
    loads = [(page.path, load) for page in links.pages.values() for load in page.loads]
    for sheet in sorted(site.rglob("*.css")):
        urls = re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
        loads += [(sheet, load) for load in urls]
    for name, page in links.pages.items():
        for what, words in page.faults:
            yield Fault(page.path, what, words)
        for link in page.links:
            if why := links.broken(link, name):
                yield Fault(page.path, f"the link {link!r} leads nowhere: {why}", link)
    for path, load in loads:
        if why := _foreign(load) or links.broken(load, path.relative_to(site).as_posix()):
            yield Fault(path, f"{load[:80]!r} is loaded: {why}", load)


def _foreign(load: str) -> str:
    parts = urlsplit(load)
    if not load.strip():
        return "it is empty"
    foreign = parts.netloc and parts.scheme != "data"
    return "it comes from another origin: put it into docs/assets" if foreign else ""


class _Links:
    """Where links of a built site lead. Names are compared as text: there are thousands.

    Attributes:
        pages: What each HTML file holds, by its way from the site's folder.
    """

    def __init__(self, site: Path, address: str) -> None:
        self._address = address
        self._prefix = urlsplit(address).path.rstrip("/") + "/"
        self._files, self._folders = set[str](), set[str]()
        for folder, _, names in os.walk(site):
            way = Path(folder).relative_to(site).as_posix()
            self._folders.add(way)
            self._files.update(posixpath.normpath(f"{way}/{name}") for name in names)
        pages = sorted(name for name in self._files if name.endswith(".html"))
        self.pages = {name: _Page(site / name) for name in pages}

    def broken(self, link: str, page: str) -> str:
        """Say why a link of a page is broken; nothing if it is whole or leads out of the site."""
        if self._address and link.startswith(self._address):
            link = "/" + link.removeprefix(self._address).lstrip("/")
        elif link.startswith(self._prefix) and self._prefix != "/":
            link = "/" + link.removeprefix(self._prefix)
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return ""
        target = page
        if parts.path:
            within = "" if parts.path.startswith("/") else posixpath.dirname(page)
            target = posixpath.normpath(posixpath.join(within, unquote(parts.path).lstrip("/")))
        if target in self._folders:
            target = posixpath.normpath(f"{target}/index.html")
        if target not in self._files:
            return "no such file; name one that is there"
        fragment = unquote(parts.fragment)
        if fragment and target in self.pages and fragment not in self.pages[target].ids:
            return f"{target} has no {fragment!r}"
        return ""
