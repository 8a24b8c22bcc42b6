"""Remembers which pages a browser has looked at, so that a test run looks at those that changed.

A test that looks at one page and at nothing else is marked `looks`, and its parameter `name` is the
page. It is left out if it passed on what the browser would load now: the page, all scripts, sheets
and fonts, with the same test in the same browser. Where `CI` is set, nothing is left out.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from rlhf_explained import memo


class LookedAt:
    """A plugin of pytest that leaves tests out, and remembers those that pass.

    Attributes:
        site: The built site.
        browser: The browser's program.
    """

    def __init__(self, site: Path, browser: str | None) -> None:
        self.site, self.browser = site, Path(browser or os.devnull)

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what passed before."""
        known = [item for item in items if not os.environ.get("CI") and self.has_passed(item)]
        items[:] = [item for item in items if item not in known]
        config.hook.pytest_deselected(items=known)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):
        """Remember what passes."""
        report = yield
        if report.when == "call" and report.passed and item.get_closest_marker("looks"):
            file = self.file(item)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.seen(item), encoding="utf-8")
        return report

    def has_passed(self, item: pytest.Item) -> bool:
        """Whether a test passed on the same page."""
        file = self.file(item) if item.get_closest_marker("looks") else None
        return bool(file and file.is_file()) and file.read_text(encoding="utf-8") == self.seen(item)

    def file(self, item: pytest.Item) -> Path:
        """Where is written what a test saw when it last passed."""
        return memo.root() / "looked-at" / memo.key(test=item.nodeid)

    def seen(self, item: pytest.Item) -> str:
        """Digest of all that a test of a page depends on: all that the page may load, for one."""
        page = self.site / item.callspec.params["name"]  # pyright: ignore
        assets = sorted((self.site / "assets").rglob("*.*"))
        here = Path(__file__).parent
        return memo.key(
            page=memo.digest([page / "index.html" if page.is_dir() else page]),
            loaded=_digest(*(one for one in assets if one.suffix in (".css", ".js", ".woff2"))),
            test=_digest(item.path, here / "conftest.py", here / "package-lock.json"),
            browser=[str(self.browser.resolve()), self.browser.stat().st_mtime_ns],
        )


@functools.cache
def _digest(*files: Path) -> str:
    return memo.digest(files)
