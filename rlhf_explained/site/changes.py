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
    command = ["git", "-c", "core.quotePath=false", "log", "--relative", "--name-only"]
    command += ["--format=%x00%cs %D", "--", "."]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        return {}
    dates: dict[str, str] = {}
    for commit in done.stdout.split("\0")[1:]:
        head, *files = commit.splitlines()
        date, _, decorations = head.partition(" ")
        if "grafted" not in decorations.split(", "):
            for file in filter(None, files):
                dates.setdefault(file, date)
    return dates
