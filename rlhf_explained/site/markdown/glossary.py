"""Terms and sources: what a link to the glossary means, and where the site cites a source.

A term's first link on a page carries the first sentence of its entry, shown when the link is
pointed at or focused. A citation is a link to the bibliography; there each entry leads back to all
sentences that cite it, and to the code that names it.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import yaml
from markdown.extensions.toc import slugify
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from rlhf_explained.site.faults import element
from rlhf_explained.site.markdown.reading_time import DOCS

GLOSSARY, BIBLIOGRAPHY = "reference/glossary.md", "reference/bibliography.md"
PACKAGE = Path(__file__).parents[2]

_TERM = re.compile(r"(?:.*/)?glossary\.md#(.+)")
_CITATION = re.compile(r"(?:.*/)?bibliography\.md#(.+)")
_ANCHOR = re.compile(r"\{ *#([\w-]+) *\}$")
_ENTRY = re.compile(r"(?m)^## (.+?)(?: *\{ *#([\w-]+) *\})?$")
_IDENTIFIER = re.compile(
    r"(?i)\b(?:arxiv: ?|doi: ?)(?P<paper>\S+)|#(?P<issue>\d+)$|^(?P<host>(?:[\w-]+\.)+[a-z]{2,})$"
)
_ADDRESS = re.compile(r"\((https?://[^\s)]+)\)")


@dataclass(frozen=True)
class Entry:
    """An entry of the glossary or the bibliography: its heading, and its Markdown."""

    name: str
    text: str


def entries(page: str) -> dict[str, Entry]:
    """The entries of the glossary or the bibliography.

    Args:
        page: Path below `docs/`.

    Returns:
        Each by its anchor.
    """
    path = DOCS / page
    return _entries(path, path.stat().st_mtime_ns) if path.is_file() else {}


@functools.lru_cache(4)
def _entries(path: Path, changed: int) -> dict[str, Entry]:
    _, *parts = _ENTRY.split(path.read_text(encoding="utf-8"))
    named = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {anchor or slugify(name, "-"): Entry(name, text.strip()) for name, anchor, text in named}


def definition(term: str) -> str:
    """What a term means, in a sentence.

    Args:
        term: Its anchor in the glossary.

    Returns:
        The first sentence of its entry as plain text; nothing if there is no such entry.
    """
    entry = entries(GLOSSARY).get(term)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", entry.text if entry else "")
    text = " ".join(re.sub(r"[*`]", "", text.split("\n\n")[0]).split())
    return re.split(r"(?<=[.!?])\s", text)[0]


def navigation(settings: Path = Path("mkdocs.yml")) -> list[str]:
    """The order of the pages: the paths that `nav` names, below `docs/`; none without the file."""
    return list(_nav(settings.read_text(encoding="utf-8"))) if settings.is_file() else []


@functools.lru_cache(maxsize=1)  # each page asks
def _nav(settings: str) -> tuple[str, ...]:
    def paths(part: Any) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        else:
            for one in part.values() if isinstance(part, dict) else part:
                yield from paths(one)

    named = yaml.load(settings, yaml.BaseLoader)  # which leaves all tags unread
    return tuple(paths((named or {}).get("nav") or []))


def citations() -> dict[str, list[tuple[Path, str, int]]]:
    """Where each source is cited: page, its title, and how often, by the source's anchor."""
    found: dict[str, list[tuple[Path, str, int]]] = defaultdict(list)
    order = {DOCS / name: place for place, name in enumerate(navigation())}
    for page in sorted(DOCS.rglob("*.md"), key=lambda page: (order.get(page, len(order)), page)):
        text = page.read_text(encoding="utf-8")
        cited = Counter(re.findall(r"\]\((?:[^)\s]*/)?bibliography\.md#([\w-]+)\)", text))
        title = re.search(r"(?m)^# (.+)", text)
        name = re.split(r"(?<!Stage \d): ", title[1] if title else page.stem)[0]
        for source, times in cited.items():
            found[source].append((page, name, times))
    return found


def in_code() -> dict[str, list[str]]:
    """Which functions and classes name a source: their full names by its address."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "Source:" not in text or path.is_relative_to(PACKAGE / "site"):
            continue
        module = ".".join([PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts])
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for address in set(_ADDRESS.findall(ast.get_docstring(node) or "")):
                    found[address].append(f"{module}.{node.name}")
    return found


class CitedIn(Treeprocessor):
    """Ends each entry of the bibliography with the way back to what cites it."""

    def run(self, root: Element) -> None:
        """The page is known by its entries."""
        named = [(child, _ANCHOR.search(child.text or "")) for child in root if child.tag == "h2"]
        found = {heading: anchor[1] for heading, anchor in named if anchor}
        if not found or not set(found.values()) <= entries(BIBLIOGRAPHY).keys():
            return
        cited, code = citations(), in_code()
        for heading, source in found.items():
            lines = [self._page(source, *place) for place in cited.get(source, [])]
            addresses = _ADDRESS.findall(entries(BIBLIOGRAPHY)[source].text)
            names = [name for address in addresses for name in code.get(address, [])]
            lines += [f"[`{name.rpartition('.')[2]}`][{name}]" for name in sorted(names)]
            if lines:
                back = Element("p", {"class": "cited", "data-search-exclude": ""})
                back.text = f"Cited in: {', '.join(lines)}."
            else:
                why = f"nothing cites {source!r}: cite it or take it out"
                back = element("p", why, rf"\{{ *#{source} *\}}")
            root.insert(self._end(root, heading), back)
        first: dict[str, str] = {}  # the first entry under each letter
        for heading, source in found.items():
            first.setdefault((heading.text or "")[0].upper(), source)
            name = _ANCHOR.sub("", heading.text or "").strip()
            heading.text = f"[{name}](#{source}) {{#{source}}}"  # a link to itself
        letters = Element("p", {"class": "letters", "data-search-exclude": ""})
        letters.text = " ".join(f"[{letter}](#{source})" for letter, source in first.items())
        root.insert([child.tag for child in root].index("h2"), letters)

    @staticmethod
    def _page(source: str, page: Path, title: str, times: int) -> str:
        path = page.relative_to(DOCS)
        up = "" if path.parent == Path(BIBLIOGRAPHY).parent else "../"
        to = f"{up}{path.name if not up else path.as_posix()}#cite-{source}-"
        more = ", ".join(f"[{n}]({to}{n})" for n in range(2, times + 1))
        return f"[{title}]({to}1)" + (f" ({more})" if more else "")

    @staticmethod
    def _end(root: Element, heading: Element) -> int:
        children = list(root)
        after = range(children.index(heading) + 1, len(children))
        return next((n for n in after if children[n].tag in ("h1", "h2")), len(children))


class Links(Treeprocessor):
    """Gives citations an id to come back to, and terms their definition; finds misled links."""

    def run(self, root: Element) -> None:
        """Inline Markdown is done: every link is an element."""
        cited: Counter[str] = Counter()
        defined: set[str] = set()
        for parent in list(root.iter()):
            for place, link in enumerate(list(parent)):
                address = link.get("href", "") if link.tag == "a" else ""
                if source := _CITATION.fullmatch(address):
                    cited[source[1]] += 1
                    link.set("id", f"cite-{source[1]}-{cited[source[1]]}")
                if why := _misled(link, address):
                    said = re.escape("".join(link.itertext()))
                    pattern = rf"\[[^\]]*{said}[^\]]*\]\({re.escape(address)}\)"
                    parent[place] = fault = element("span", why, pattern)
                    fault.set("id", link.get("id", ""))  # where the bibliography leads back to
                    fault.tail = link.tail
                elif term := _TERM.fullmatch(address):
                    meaning = "" if term[1] in defined else definition(term[1])
                    defined.add(term[1])
                    parent[place] = self._term(link, term[1], meaning) if meaning else link

    @staticmethod
    def _term(link: Element, term: str, meaning: str) -> Element:
        whole = Element("span", {"class": "term"})
        whole.tail, link.tail = link.tail, None
        link.set("aria-describedby", f"term-{term}")
        whole.append(link)
        about = {"role": "tooltip", "id": f"term-{term}", "hidden": "", "data-search-exclude": ""}
        SubElement(whole, "span", about).text = AtomicString(meaning)
        return whole


def _misled(link: Element, address: str) -> str:
    """Why a link does not lead to what its words name; nothing if it does."""
    said, (_, _, anchor) = "".join(link.itertext()), address.partition("#")
    named = _IDENTIFIER.search(said) if address.startswith("http") else None
    if named and named[named.lastgroup or 0].casefold() not in address.casefold():
        return f"{said!r} leads to {address}: mend one of the two"
    source = entries(BIBLIOGRAPHY).get(anchor) if _CITATION.fullmatch(address) else None
    cites = source and re.search(r"\d{4}|\bet al\b", said)
    terms = entries(GLOSSARY) if _TERM.fullmatch(address) else {}
    if source and cites and _bare(said) not in _bare(source.name):
        return f"{said!r} leads to {source.name!r}: name the entry that is meant"
    if anchor in terms and slugify(said, "-") in {*terms} - {anchor}:
        return f"{said!r} leads to {terms[anchor].name!r}: name the entry that is meant"
    return ""


def _bare(citation: str) -> str:
    return re.sub(r"\band\b|\W", "", citation).casefold()
