"""What a page says of itself to programs, and the picture that goes with a link to it."""

from __future__ import annotations

import functools
import itertools
import json
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

from rlhf_explained import memo
from rlhf_explained.site.publish import cards, head, links
from tests.site.conftest import PAGES, SITE

ROOT = SITE.parent
ADDRESS = "https://example.org/rlhf/"
BUILD = """
import sys
from mkdocs.commands.build import build
from mkdocs.config import load_config

config = load_config("mkdocs.yml", site_dir=sys.argv[1])
config.plugins.on_startup(command="build", dirty=False)
build(config)
"""
NAMED = [name for name in PAGES if name != "404.html"]


@functools.cache
def head_of(site: Path, name: str) -> BeautifulSoup:
    html = (site / name / "index.html").read_text(encoding="utf-8")
    return BeautifulSoup(html.split("</head>")[0], "html.parser")


def meta(site: Path, name: str, key: str) -> str:
    (found,) = head_of(site, name).select(f'meta[property="{key}"], meta[name="{key}"]')
    return str(found["content"])


def structured(site: Path, name: str) -> dict[str, Any]:
    (script,) = head_of(site, name).select('script[type="application/ld+json"]')
    return json.loads(script.get_text())


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built where its address is known."""
    site = tmp_path_factory.mktemp("published")
    command = [sys.executable, "-c", BUILD, str(site)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"SITE_URL": ADDRESS}, check=True)
    return site


@pytest.mark.parametrize("name", NAMED)
def test_a_page_describes_itself(name: str) -> None:
    assert 50 <= len(meta(SITE, name, "description")) <= 180
    assert meta(SITE, name, "og:description") == meta(SITE, name, "description")
    html = (SITE / name / "index.html").read_text(encoding="utf-8")
    title = BeautifulSoup(html, "html.parser").select("article h1")[0]
    for link in title.select(".headerlink"):
        link.decompose()
    assert meta(SITE, name, "og:title") == title.get_text()
    assert meta(SITE, name, "twitter:card") == "summary_large_image"
    about = structured(SITE, name)
    assert about["name"] == title.get_text()
    assert about["description"] == meta(SITE, name, "description")
    assert re.fullmatch(r"PT\d+M", about["timeRequired"])
    lesson = not name.startswith(("reference/api/", "reference/experiments/"))
    assert about["@type"] == ("LearningResource" if lesson else "TechArticle")
    if lesson:
        assert about["learningResourceType"]
        assert about["educationalLevel"]
        assert about["teaches"]


def test_pages_tell_themselves_apart() -> None:
    for key in ("og:image", "description"):
        values = [meta(SITE, name, key) for name in NAMED]
        assert len(set(values)) == len(values), key
    positions = [structured(SITE, name)["position"] for name in NAMED]
    assert sorted(positions) == list(range(1, len(NAMED) + 1))


@pytest.mark.parametrize("name", NAMED)
def test_a_page_has_its_picture(name: str) -> None:
    picture = (SITE / name / meta(SITE, name, "og:image")).resolve()
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1200, 630)
    assert meta(SITE, name, "og:image:width") == "1200"
    assert meta(SITE, name, "og:image:height") == "630"
    assert meta(SITE, name, "og:image:alt")
    assert len(content) <= 60_000


def test_without_an_address_nothing_pretends_to_know_it() -> None:
    if os.environ.get("SITE_URL"):
        pytest.skip("this site was built for an address")
    assert not (SITE / "sitemap.xml").exists()
    for name in NAMED:
        assert not head_of(SITE, name).select('link[rel="canonical"], meta[property="og:url"]')
        assert "url" not in structured(SITE, name)


def test_with_an_address_everything_agrees_on_it(published: Path) -> None:
    for name in NAMED:
        (canonical,) = head_of(published, name).select('link[rel="canonical"]')
        assert canonical["href"] == ADDRESS + name
        assert meta(published, name, "og:url") == ADDRESS + name
        assert structured(published, name)["url"] == ADDRESS + name
        picture = meta(published, name, "og:image")
        assert picture.startswith(ADDRESS)
        assert (published / picture.removeprefix(ADDRESS)).is_file()
    assert list(links.faults(published, ADDRESS)) == []


def test_the_sitemap_holds_every_page_once(published: Path) -> None:
    tree = ElementTree.parse(published / "sitemap.xml")
    places = [element.text for element in tree.iter() if element.tag.endswith("loc")]
    assert sorted(filter(None, places)) == sorted(ADDRESS + name for name in NAMED)


def test_texts_for_language_models_have_whole_addresses(published: Path) -> None:
    for file in ("llms.txt", "llms-full.txt"):
        text = (published / file).read_text(encoding="utf-8")
        prose = re.sub(r"^[ >]*(`{3,}).*?^[ >]*\1$|`[^`\n]+`", "", text, flags=re.M | re.S)
        links = re.findall(r"\]\(([^)\s]+)\)", prose)
        assert len(links) > 30
        assert not [link for link in links if not link.startswith(("http", "mailto:"))]


# The parts


def test_nothing_in_a_page_ends_the_script() -> None:
    about = {"name": 'a "quoted" </script><b>&amp;'}
    text = head.script(about)
    assert "<" not in text
    assert json.loads(text) == about


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
    assert head.description(html) == expected
    assert len(expected) <= 160


def test_a_chapter_says_one_time() -> None:
    chapters = list((SITE / "guide").glob("*/index.html"))
    assert chapters
    for chapter in chapters:
        page = chapter.read_text(encoding="utf-8")
        (shown,) = re.findall(r"class=\"admonition learn\">.*?(\d+) minutes?<", page, re.S)
        assert f'"timeRequired":"PT{shown}M"' in page, chapter


WORDS = {"title": "A long title " * 9, "description": "Words " * 60, "site": "Site"}


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An empty memo, and what was drawn since."""
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    calls: list[list[str]] = []
    draw = cards._draw

    def counted(asked: Any, into: Path) -> None:
        calls.append(list(asked))
        draw(asked, into)

    monkeypatch.setattr(cards, "_draw", counted)
    return calls


def test_only_what_is_missing_is_drawn_and_at_once(drawn: list[list[str]]) -> None:
    two = {"one": WORDS, "two": WORDS | {"stage": "ppo", "value": "87 %", "about": "help"}}
    first = cards.pictures(two)
    assert cards.pictures(two) == first
    assert sorted(itertools.chain(*drawn)) == ["one", "two"]  # a share for each processor
    drawn.clear()
    cards.pictures(two | {"two": WORDS | {"title": "Another"}})
    assert drawn == [["two"]]
    first["one"].write_bytes(b"spoilt")
    assert cards.pictures(two)["one"].read_bytes() != b"spoilt"
    assert drawn[1:] == [["one"]]
    assert memo.root() in first["one"].parents


def test_a_card_that_cannot_be_drawn_says_where(drawn: list[list[str]]) -> None:
    with pytest.raises(cards.CardError, match=r"^rlhf_explained/figures/card.py:\d+: KeyError"):
        cards.pictures({"one": WORDS | {"stage": "no such stage"}})
