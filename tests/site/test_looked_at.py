"""A page that was looked at is looked at again when anything changed that a browser would see."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.site import looked_at
from tests.site.looked_at import LookedAt

FILES = {
    "page": "site/guide/index.html",
    "other page": "site/index.html",
    "sheet": "site/assets/a.css",
    "script": "site/assets/javascripts/a.js",
    "font": "site/assets/fonts/a.woff2",
    "test": "test_one.py",
    "browser": "chromium",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CI", raising=False)
    found = {name: tmp_path / path for name, path in FILES.items()}
    for path in found.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was", encoding="utf-8")
    return found


def run(files: dict[str, Path], *, passes: bool = True) -> list[str]:
    """Collect the tests of two pages, run what is left, and say which those were."""
    looked_at._digest.cache_clear()
    plugin = LookedAt(files["page"].parents[1], str(files["browser"]))
    items: list[Any] = [
        SimpleNamespace(
            nodeid=f"test_one[{name}]",
            path=files["test"],
            callspec=SimpleNamespace(params={"name": name}),
            get_closest_marker={"looks": True}.get,
        )
        for name in ("", "guide/")
    ]
    deselected: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: deselected.extend(items))
    plugin.pytest_collection_modifyitems(SimpleNamespace(hook=hook), items)  # pyright: ignore
    assert len(items) + len(deselected) == 2
    for item in items:
        report = plugin.pytest_runtest_makereport(item, SimpleNamespace())  # pyright: ignore
        next(report)
        with pytest.raises(StopIteration):
            report.send(SimpleNamespace(when="call", passed=passes))
    return [item.callspec.params["name"] for item in items]


def test_what_passed_is_left_out_until_the_page_changes(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(files, passes=False) == ["", "guide/"]
    assert run(files) == ["", "guide/"], "it failed before"
    assert run(files) == []
    files["page"].write_text("edited", encoding="utf-8")
    assert run(files) == ["guide/"]
    monkeypatch.setenv("CI", "true")
    assert run(files) == ["", "guide/"]


@pytest.mark.parametrize("name", ["sheet", "script", "font", "test", "browser"])
def test_what_all_pages_load_has_all_looked_at_again(files: dict[str, Path], name: str) -> None:
    assert run(files) == ["", "guide/"]
    files[name].write_text("another", encoding="utf-8")
    assert run(files) == ["", "guide/"]
