"""How soon a page is there on a slow phone, by the browser's own watch and by Lighthouse."""

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.site.conftest import MODULES, PHONE, chromium, launched, node, not_run, served

LOADS = 7  # of each page
KINDS = (
    "",
    "guide/methods/",
    "guide/ppo/",
    "notebooks/04_dpo/",
    "reference/api/stages/ppo/",
    "whole/",
)

_WATCH = """
window.seen = {shift: 0, long: []}
new PerformanceObserver(list => list.getEntries().forEach(e => seen.shift += e.value))
  .observe({type: "layout-shift", buffered: true})
new PerformanceObserver(list => list.getEntries().forEach(e => seen.long.push(e.duration)))
  .observe({type: "longtask", buffered: true})
"""
_LOADED = """() => ({...seen, bytes: ["navigation", "resource"]
  .flatMap(kind => performance.getEntriesByType(kind))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)})"""


def loading(
    name: str, browser: Browser, address: str, *, slower: int = 1, planted: str = ""
) -> dict[str, Any]:
    """Load a page on a phone, whose processor may be slowed down, and do nothing.

    Gives the layout shift, the tasks of over 50 ms (`long`) and the bytes that went over the line.
    A script may be planted that runs before the page's own.
    """
    page = browser.new_page(viewport=PHONE)
    page.goto(f"{address}llms.txt")  # the next page comes in this process, which is slowed down
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.add_init_script(_WATCH + planted)
    page.goto(address + name, wait_until="networkidle")
    page.wait_for_timeout(500)
    seen = page.evaluate(_LOADED)
    page.close()
    return seen


def lighthouse(address: str, folder: Path, categories: Sequence[str]) -> dict[str, Any]:
    """One report of Lighthouse, with its mobile preset; its `categories` hold the scores."""
    path = chromium(windows=True)
    if not path:
        not_run("Chromium", "apt-get install chromium")
    report = folder / "report.json"
    options = ("--chrome-flags=--headless=new --no-sandbox", "--output=json")
    options += (f"--output-path={report}", f"--only-categories={','.join(categories)}", "--quiet")
    program = MODULES / "lighthouse" / "cli" / "index.js"
    environment = {**os.environ, "CHROME_PATH": str(path)}
    done = node(str(program), address, *options, environment=environment)
    if not report.is_file():
        raise RuntimeError(f"Lighthouse wrote no report: {done.stderr}")
    return json.loads(report.read_text(encoding="utf-8"))


def measure(folder: Path) -> list[dict[str, Any]]:
    """Load one page of each kind several times at a quarter of the processor's speed.

    Gives by page the KiB loaded, the longest tasks of the loads in ms, how many of the loads had
    none of over 50 ms, and the median of three performance scores.
    """
    rows = []
    with served() as address, sync_playwright() as playwright:
        browser = launched(playwright)
        for name in KINDS:
            loads = [loading(name, browser, address, slower=4) for _ in range(LOADS)]
            longest = [max(load["long"], default=0) for load in loads]
            reports = [lighthouse(address + name, folder, ["performance"]) for _ in range(3)]
            scores = [100 * report["categories"]["performance"]["score"] for report in reports]
            rows.append(
                {
                    "page": name or "index",
                    "kib": loads[0]["bytes"] / 1024,
                    "longest_tasks": longest,
                    "quick_loads": sum(task <= 50 for task in longest),
                    "performance": statistics.median(scores),
                }
            )
        browser.close()
    return rows
