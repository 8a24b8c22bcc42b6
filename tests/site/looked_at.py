"""Remembers which pages a browser has looked at, so that a test run looks at those that changed.

A test that looks at one page and at nothing else is marked `looks`, and its parameter `name` is the
page. It is left out if it passed on what the browser would load now: the page, all scripts, sheets
and fonts, with the same test in the same browser. Where `CI` is set, nothing is left out.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
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
        if os.environ.get("CI"):
            return
        passed = [self.has_passed(item) for item in items]
        known = [item for item, known in zip(items, passed, strict=True) if known]
        items[:] = [item for item, known in zip(items, passed, strict=True) if not known]
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
        if not item.get_closest_marker("looks"):
            return False
        file = self.file(item)
        return file.is_file() and file.read_text(encoding="utf-8") == self.seen(item)

    def file(self, item: pytest.Item) -> Path:
        """Where is written what a test saw when it last passed."""
        return memo.root() / "looked-at" / memo.key(test=item.nodeid)

    def loaded(self) -> Iterator[Path]:
        """What every page may load."""
        for path in sorted((self.site / "assets").rglob("*.*")):
            if path.suffix in (".css", ".js", ".woff2"):
                yield path

    def seen(self, item: pytest.Item) -> str:
        """Digest of all that a test of a page depends on."""
        name = item.callspec.params["name"]  # pyright: ignore
        page = self.site / name
        page = page / "index.html" if page.is_dir() else page
        here = Path(__file__).parent
        return memo.key(
            page=memo.digest([page]),
            loaded=_digest(tuple(self.loaded())),
            test=_digest((item.path, here / "conftest.py", here / "package-lock.json")),
            browser=[str(self.browser.resolve()), self.browser.stat().st_mtime_ns],
        )


@functools.cache
def _digest(files: tuple[Path, ...]) -> str:
    return memo.digest(files)
