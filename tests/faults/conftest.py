"""A copy of the checkout in which things may be wrong, and the command that looks for them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlhf_explained import memo

ROOT = Path(__file__).resolve().parents[2]
FILES = ("Makefile", "mkdocs.yml", "pyproject.toml", "LICENSE", *ROOT.glob("*.md"))
NEEDED = ("docs", "rlhf_explained", *FILES)

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pages are made of, without what was made from it."""
    copy = tmp_path_factory.mktemp("planted")
    for path in (ROOT / name for name in NEEDED):
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, copy / path.name, ignore=ignored)
        else:
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="session")
def command(copy: Path) -> Command:
    """`python -m rlhf_explained …` there, with the checkout's memo."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rlhf_explained", *arguments],
            cwd=copy,
            env=os.environ
            | {"PYTHONPATH": str(copy), "RLHF_EXPLAINED_CACHE": str(memo.root())}
            | settings,
            capture_output=True,
            encoding="utf-8",
            timeout=1800,
        )

    return run
