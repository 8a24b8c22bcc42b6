"""When each page last changed, from git."""

from __future__ import annotations

import subprocess
from pathlib import Path


def last_changes(folder: Path) -> dict[str, str]:
    """Ask git once about all files below a folder.

    In a shallow clone the oldest commit that is there seems to have written everything. It is left
    out: no date is better than a wrong one.

    Args:
        folder: A folder of a checkout, such as `docs`.

    Returns:
        The date of the last commit, `2026-11-24`, by path relative to the folder. Empty where there
        is no git, or no checkout; files that git does not know are absent.
    """
    said = _log(folder, "--relative", "--name-only", "--format=%x00%cs %D", "--", ".")
    dates: dict[str, str] = {}
    for commit in said.split("\0")[1:]:
        head, *files = commit.splitlines()
        date, _, decorations = head.partition(" ")
        if "grafted" not in decorations.split(", "):
            dates = dict.fromkeys(filter(None, files), date) | dates
    return dates


def last_commit(folder: Path) -> str:
    """The date of a checkout's last commit, or nothing: a site is as old, whenever it is built."""
    return _log(folder, "-1", "--format=%cs").strip()


def _log(folder: Path, *options: str) -> str:
    command = ["git", "-c", "core.quotePath=false", "log", *options]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    except FileNotFoundError:
        return ""
    return done.stdout
