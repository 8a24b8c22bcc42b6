"""How much a page weighs, what its first view loads, and what Lighthouse says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.bench.first_view import lighthouse, loading
from tests.site.conftest import PAGES, file_of

FIGURE = re.compile(
    r'<figure class="(?:drawn|explore)".*?</figure>|<div class="cell-output.*?</div>', re.S
)
EXEMPT = {"whole/"}  # the whole guide on one page
KIB = 1024


def weight(name: str) -> tuple[int, int]:
    """Bytes of a page's HTML, and what of them is not an inline figure."""
    page = file_of(name).read_text(encoding="utf-8")
    return len(page.encode()), len(FIGURE.sub("", page).encode())


def test_pages_are_light() -> None:
    heavy = {name: weight(name) for name in PAGES if name not in EXEMPT}
    assert not {name for name, (whole, without) in heavy.items() if without > 60_000}
    assert not {name for name, (whole, without) in heavy.items() if whole > 120_000}


# The first view


@pytest.mark.looks
@pytest.mark.parametrize("name", PAGES)
def test_the_first_view_is_small_and_still(name: str, browser: Browser, address: str) -> None:
    seen = loading(name, browser, address)
    assert seen["shift"] <= 0.02
    kib = 100 if name.startswith("notebooks/") else 80
    assert seen["bytes"] <= kib * KIB or name in EXEMPT, f"{seen['bytes'] / KIB:.0f} KiB"


def test_a_load_a_jump_and_a_block_are_noticed(browser: Browser, address: str) -> None:
    late = "document.querySelector('h1').style.marginTop = '20rem'"
    block = "for (const end = Date.now() + 100; Date.now() < end;);"
    load = "fetch('/search/search_index.json')"
    planted = (
        f"addEventListener('load', () => setTimeout(() => {{ {late}; {block}; {load} }}, 100))"
    )
    seen = loading("guide/summary/", browser, address, planted=planted)
    assert seen["bytes"] > 100 * KIB
    assert seen["shift"] > 0.02
    assert max(seen["long"]) > 50


# Lighthouse, but for its performance score, which depends on the machine: `make bench` has that

CATEGORIES = ("accessibility", "best-practices", "seo")


def heaviest(start: str) -> str:
    """The page with the most HTML among those whose path starts so."""
    return max((name for name in PAGES if name.startswith(start)), key=weight)


@pytest.mark.parametrize("kind", ["", "guide/", "notebooks/", "reference/api/"])
def test_lighthouse(kind: str, address: str, tmp_path: Path) -> None:
    name = heaviest(kind) if kind else ""
    report = lighthouse(address + name, tmp_path, CATEGORIES)
    scores = {category: report["categories"][category]["score"] for category in CATEGORIES}
    lacking = [
        f"{audit['title']} ({audit.get('displayValue', audit['score'])})"
        for audit in report["audits"].values()
        if audit["score"] is not None and audit["score"] < 0.9
    ]
    assert scores == dict.fromkeys(CATEGORIES, 1), f"{name}: {lacking}"


def test_lighthouse_notices(address: str, tmp_path: Path) -> None:
    whole = file_of("guide/summary/").read_text(encoding="utf-8")
    page = file_of("guide/summary/planted.html")
    spoilt = re.sub('<meta (name="description"|http-equiv).*?>| lang="en"', "", whole)
    page.write_text(spoilt, encoding="utf-8")
    try:
        found = lighthouse(f"{address}guide/summary/planted.html", tmp_path, CATEGORIES)
    finally:
        page.unlink()
    for category in ("accessibility", "seo"):
        assert found["categories"][category]["score"] < 1
