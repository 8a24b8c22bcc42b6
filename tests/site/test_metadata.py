"""What a page says of itself elsewhere, and the picture that goes with a link to it."""

from __future__ import annotations

import functools
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from mkdocs.config import load_config
from mkdocs.structure.files import File
from mkdocs.structure.pages import Page

from rlhf_explained import memo
from rlhf_explained.site import faults
from rlhf_explained.site.publish import cards, links, metadata
from tests.site.conftest import PAGES, ROOT, SITE, soup
from tests.site.test_built_site import BUILD

ADDRESS = "https://example.org/rlhf/"
NAMED = [name for name in PAGES if name != "404.html"]


@functools.cache
def head_of(site: Path, name: str) -> BeautifulSoup:
    html = (site / name / "index.html").read_text(encoding="utf-8")
    return BeautifulSoup(html.split("</head>")[0], "html.parser")


def meta(site: Path, name: str, key: str) -> str:
    (found,) = head_of(site, name).select(f'meta[property="{key}"], meta[name="{key}"]')
    return str(found["content"])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built where its address is known."""
    site = tmp_path_factory.mktemp("published")
    command = [sys.executable, "-c", BUILD, str(site)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"SITE_URL": ADDRESS}, check=True)
    return site


@pytest.mark.parametrize("name", NAMED)
def test_a_page_describes_itself_and_has_its_picture(name: str) -> None:
    said = functools.partial(meta, SITE, name)
    assert 50 <= len(said("description")) <= 180
    assert said("og:description") == said("description")
    assert said("og:title") == soup(name).select("article h1")[0].get_text().removesuffix("¶")
    assert said("twitter:card") == "summary_large_image"
    assert said("og:image:alt")
    content = (SITE / name / said("og:image")).resolve().read_bytes()
    assert content.startswith(b"\x89PNG")
    size = struct.unpack(">II", content[16:24])
    assert size == (int(said("og:image:width")), int(said("og:image:height"))) == (1200, 630)
    assert len(content) <= 100_000


def test_pages_tell_themselves_apart() -> None:
    for key in ("og:image", "description"):
        met: dict[str, str] = {}
        for name in NAMED:
            other = met.setdefault(meta(SITE, name, key), name)
            assert other == name, f"{name} has the {key} of {other}: write its own"


def test_without_an_address_nothing_pretends_to_know_it() -> None:
    if os.environ.get("SITE_URL"):
        pytest.skip("this site was built for an address")
    assert not (SITE / "sitemap.xml").exists()
    for name in NAMED:
        assert not head_of(SITE, name).select('link[rel="canonical"], meta[property="og:url"]')


def test_with_an_address_everything_agrees_on_it(published: Path) -> None:
    for name in NAMED:
        (canonical,) = head_of(published, name).select('link[rel="canonical"]')
        assert canonical["href"] == ADDRESS + name
        assert meta(published, name, "og:url") == ADDRESS + name
        picture = meta(published, name, "og:image")
        assert picture.startswith(ADDRESS)
        assert (published / picture.removeprefix(ADDRESS)).is_file()
    assert list(links.faults(published, ADDRESS)) == []
    tree = ElementTree.parse(published / "sitemap.xml")
    places = [element.text for element in tree.iter() if element.tag.endswith("loc")]
    assert sorted(filter(None, places)) == sorted(ADDRESS + name for name in NAMED)
    for file in ("llms.txt", "llms-full.txt"):
        text = (published / file).read_text(encoding="utf-8")
        prose = re.sub(r"^[ >]*(`{3,}).*?^[ >]*\1$|`[^`\n]+`", "", text, flags=re.M | re.S)
        there = re.findall(r"\]\(([^)\s]+)\)", prose)
        assert len(there) > 30
        assert not [link for link in there if not link.startswith(("http", "mailto:"))]


# The parts


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<p><a download href="x">Get it</a></p><p>One &amp; <b>two</b>.</p>', "One & two."),
        (f"<p>{'A sentence of some length that says what this is about at all. ' * 3}</p>",
         ("A sentence of some length that says what this is about at all. " * 2).strip()),
        (f"<p>{'word ' * 60}</p>", "word " * 31 + "…"),
        ("<h1>T</h1>", ""),
    ],
)  # fmt: skip
def test_a_page_without_a_description_gets_its_first_sentences(html: str, expected: str) -> None:
    assert metadata.description(html) == expected
    assert len(expected) <= 160


LONG = "Words that are long enough to stand in a search."


@pytest.mark.parametrize(
    ("front", "meta", "line", "what"),
    [
        (
            f"description: {LONG}\nhide: toc",
            {"description": LONG, "hide": "toc"},
            3,
            "'hide' has to be a list",
        ),
        (
            f"description: {LONG}\nsearch: x",
            {"description": LONG, "search": "x"},
            3,
            "'search' has to be names",
        ),
        ("search: {terms: [a]}", {"search": {"terms": ["a"]}}, 2, "'terms' has to be names"),
        ("description: [a]", {"description": ["a"]}, 2, "'description' has to be a text"),
        (f"descripton: {LONG}", {"descripton": LONG}, 2, "did you mean description"),
        ("description: short", {"description": "short"}, 2, "has 5 characters"),
        ("description: a\nsearch: b: c", {}, 3, "(mapping values are not allowed here)"),
    ],
)
def test_front_matter_that_says_nothing_is_a_fault(
    front: str, meta: dict[str, Any], line: int, what: str, tmp_path: Path, caplog: Any
) -> None:
    path = tmp_path / "docs/page.md"
    path.parent.mkdir()
    path.write_text(f"---\n{front}\n---\n\n# Page\n", encoding="utf-8")
    text = path.read_text(encoding="utf-8") if not meta else "# Page\n"
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(path.parent))
    page = Page(None, File("page.md", str(path.parent), "", use_directory_urls=True), config)
    page.meta = meta
    faults.rendering(path)
    caplog.clear()
    metadata.check(text, page, config)
    assert caplog.messages[0].startswith(f"{path}:{line}: ")
    assert what in caplog.messages[0]


CARD = {"title": "A long title " * 9, "description": "Words " * 60, "site": "Site"}
OTHER = CARD | {"title": "Another"}


def test_cards_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    first = cards.pictures({"one": CARD, "two": OTHER})
    assert memo.root() in first["one"].parents
    assert first["one"].read_bytes() != first["two"].read_bytes()
    first["one"].write_bytes(b"spoilt")
    assert cards.pictures({"one": CARD})["one"].read_bytes() != b"spoilt"
    with pytest.raises(ValueError, match=r"^rlhf_explained/figures/card.py:1: KeyError: 'site'"):
        cards.pictures({"one": {"title": "No more", "description": ""}})
    monkeypatch.setattr(subprocess, "run", None)  # from here on nothing is drawn
    assert cards.pictures({"two": OTHER})["two"] == first["two"]
