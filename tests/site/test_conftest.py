"""Without a browser the tests that need one say so in a line, and fail where `CI` is set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("test", "line"),
    [
        (
            "test_browser.py::test_figures_follow_the_theme",
            "not run: Chromium is missing; install it: apt-get install chromium",
        ),
        (
            "test_firefox.py::test_pages_of_each_kind",
            "not run: Firefox is missing; install it: apt-get install firefox-esr",
        ),
    ],
)
@pytest.mark.parametrize("ci", ["", "true"])
def test_no_browser(test: str, line: str, ci: str, tmp_path: Path) -> None:
    nowhere = {
        "PATH": str(tmp_path),
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",  # where nothing listens
        "PYTHONPATH": str(ROOT),
        "CI": ci,
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rs",
        f"tests/site/{test}",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | nowhere, capture_output=True, encoding="utf-8"
    )
    assert line in done.stdout
    assert ("1 skipped" in done.stdout) is (not ci)
    assert (done.returncode != 0) is bool(ci)
