"""How much a page weighs, and how soon it is there on a slow phone.

Lighthouse and the browser measure time, so these tests run by themselves, after all others.
"""

from __future__ import annotations

import json
import os
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.site.conftest import MODULES, PAGES, PHONE, SITE, chromium, node, not_run

FIGURE = re.compile(r'<figure class="drawn".*?</figure>|<div class="cell-output.*?</div>', re.S)
EXEMPT = {"whole/"}  # the whole guide on one page
KIB = 1024


def weight(name: str) -> tuple[int, int]:
    """Bytes of a page's HTML, and what of them is not an inline figure."""
    path = SITE / name / "index.html" if not name.endswith(".html") else SITE / name
    page = path.read_text(encoding="utf-8")
    return len(page.encode()), len(FIGURE.sub("", page).encode())


@pytest.mark.parametrize("name", [name for name in PAGES if name not in EXEMPT])
def test_pages_are_light(name: str) -> None:
    whole, without_figures = weight(name)
    assert without_figures <= 60_000, f"{name}: {without_figures:,} bytes before figures"
    assert whole <= 120_000, f"{name}: {whole:,} bytes"


# The first view

WATCH = """
window.seen = {shift: 0, long: []}
new PerformanceObserver(list => list.getEntries().forEach(e => seen.shift += e.value))
  .observe({type: "layout-shift", buffered: true})
new PerformanceObserver(list => list.getEntries().forEach(e => seen.long.push(e.duration)))
  .observe({type: "longtask", buffered: true})
"""


LOADED = """() => ({...seen, bytes: ["navigation", "resource"]
  .flatMap(kind => performance.getEntriesByType(kind))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)})"""


def loading(name: str, browser: Browser, address: str, planted: str = "") -> dict[str, Any]:
    """Load a page at a quarter of the processor's speed, and do nothing.

    Returns:
        `shift`, the layout shift; `long`, the tasks of over 50 ms; `bytes`, all that was loaded,
        as it went over the line.
    """
    page = browser.new_page(viewport=PHONE)
    page.goto(f"{address}llms.txt")  # the next page comes in this process, which is slowed down
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.add_init_script(WATCH + planted)
    page.goto(address + name, wait_until="networkidle")
    page.wait_for_timeout(500)
    seen = page.evaluate(LOADED)
    page.close()
    return seen


@pytest.mark.looks
@pytest.mark.alone
@pytest.mark.parametrize("name", PAGES)
def test_the_first_view_is_small_still_and_quick(name: str, browser: Browser, address: str) -> None:
    """Small and still at every load; loaded again until most loads had no long task."""
    longest = []
    kib = 100 if name.startswith("notebooks/") else 80
    for _ in range(20):  # what else the machine does can make a task longer, never shorter
        seen = loading(name, browser, address)
        assert seen["shift"] <= 0.02
        assert seen["bytes"] <= kib * KIB or name in EXEMPT, f"{seen['bytes'] / KIB:.0f} KiB"
        longest.append(max(seen["long"], default=0))
        if is_quick(longest):
            return
    pytest.fail(f"{name}: the longest tasks took {longest} ms")


def is_quick(longest: list[float]) -> bool:
    """Whether more loads went without a task of over 50 ms than with one."""
    return sum(task <= 50 for task in longest) > len(longest) / 2


@pytest.mark.parametrize(
    ("longest", "quick"), [([50], True), ([51], False), ([51, 0], False), ([51, 0, 50], True)]
)
def test_most_loads_have_to_be_quick(longest: list[float], quick: bool) -> None:
    assert is_quick(longest) is quick


@pytest.mark.alone
def test_a_load_a_jump_and_a_block_are_noticed(browser: Browser, address: str) -> None:
    late = "document.querySelector('h1').style.marginTop = '20rem'"
    block = "for (const end = Date.now() + 100; Date.now() < end;);"
    load = "fetch('/search/search_index.json')"
    planted = (
        f"addEventListener('load', () => setTimeout(() => {{ {late}; {block}; {load} }}, 100))"
    )
    seen = loading("guide/summary/", browser, address, planted)
    assert seen["bytes"] > 100 * KIB
    assert seen["shift"] > 0.02
    assert max(seen["long"]) > 50


def heaviest(start: str) -> str:
    """The page with the most HTML among those whose path starts so."""
    return max((name for name in PAGES if name.startswith(start)), key=weight)


SCORES = {"performance": 97, "accessibility": 100, "best-practices": 100, "seo": 100}


def lighthouse(address: str, tmp_path: Path) -> dict[str, Any]:
    """One report of Lighthouse, with its mobile preset."""
    path = chromium(windows=True)
    if not path:
        not_run("Chromium", "apt-get install chromium")
    report = tmp_path / "report.json"
    options = ("--chrome-flags=--headless=new --no-sandbox", "--output=json")
    options += (f"--output-path={report}", f"--only-categories={','.join(SCORES)}", "--quiet")
    program = MODULES / "lighthouse" / "cli" / "index.js"
    environment = {**os.environ, "CHROME_PATH": str(path)}
    done = node(str(program), address, *options, environment=environment)
    assert report.is_file(), done.stderr
    return json.loads(report.read_text(encoding="utf-8"))


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["", "guide/", "notebooks/", "reference/api/"])
def test_lighthouse(kind: str, address: str, tmp_path: Path) -> None:
    name = heaviest(kind) if kind else ""
    reports = [lighthouse(address + name, tmp_path) for _ in range(2)]
    if any(100 * report["categories"][category]["score"] < least
           for report in reports for category, least in SCORES.items()):  # fmt: skip
        reports.append(lighthouse(address + name, tmp_path))  # of three, two that are as good do
    for category, least in SCORES.items():
        scores = [100 * report["categories"][category]["score"] for report in reports]
        lacking = [
            f"{audit['title']} ({audit.get('displayValue', audit['score'])})"
            for audit in reports[-1]["audits"].values()
            if audit["score"] is not None and audit["score"] < 0.9
        ]
        assert statistics.median_low(scores) >= least, f"{name}, {category}: {scores}; {lacking}"


@pytest.mark.alone
def test_lighthouse_notices(address: str, tmp_path: Path) -> None:
    whole = (SITE / "guide" / "summary" / "index.html").read_text(encoding="utf-8")
    page = SITE / "guide" / "summary" / "planted.html"
    block = "<script>for (const end = Date.now() + 900; Date.now() < end;);</script>"
    spoilt = re.sub('<meta (name="description"|http-equiv).*?>| lang="en"', "", whole)
    page.write_text(spoilt.replace("</body>", f"{block}</body>"), encoding="utf-8")
    try:
        scores = lighthouse(f"{address}guide/summary/planted.html", tmp_path)["categories"]
    finally:
        page.unlink()
    for category in ("performance", "accessibility", "seo"):
        assert 100 * scores[category]["score"] < SCORES[category]
