"""Clean builds of one commit are the same: elsewhere, on another day, on more processors."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf_explained import memo
from rlhf_explained.pipeline import RunConfig, run_key
from tests.site.conftest import SITE, not_run
from tests.test_build import ROOT, copied

ADDRESS = {"SITE_URL": "https://example.org/rlhf/", "REPO_URL": "https://example.org/repo"}


def digests(site: Path) -> dict[str, str]:
    """The digest of each file of a site, by its path; without what other tests plant meanwhile."""
    return {
        str(path.relative_to(site)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(site.rglob("*"))
        if path.is_file() and path.name != "planted.html"
    }


def clean_build(copy: Path, date: str, processors: str, **settings: str) -> dict[str, str]:
    """Build a copy with no more than a run in its cache.

    Args:
        copy: Where to.
        date: What the clock says.
        processors: Those that it may use, as `taskset` reads them.
        settings: For the environment.

    Returns:
        The digest of each file of the site, by its path.
    """
    if not shutil.which("faketime"):
        not_run("faketime", "apt-get install faketime")
    copied(ROOT, copy, Path("nowhere"))
    shutil.copytree(ROOT / ".git", copy / ".git")
    run = Path("runs", run_key(RunConfig()))
    shutil.copytree(memo.root() / run, copy / ".cache" / run)
    kept = {name: value for name, value in os.environ.items() if name != "RLHF_EXPLAINED_CACHE"}
    done = subprocess.run(
        ["taskset", "-c", processors, "faketime", f"{date} 03:00:00",
         sys.executable, "-m", "rlhf_explained", "site"],
        cwd=copy, env={**kept, **settings, "PYTHONPATH": str(copy)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return digests(copy / "site")


def two_processors() -> list[str]:
    return [*map(str, sorted(os.sched_getaffinity(0))[:2])]


@pytest.mark.soak
def test_the_site_is_that_of_a_clean_build(tmp_path: Path) -> None:
    here = digests(SITE)
    elsewhere = clean_build(tmp_path / "else where", "2031-07-09", two_processors()[0])
    assert len(elsewhere) > 150
    differ = [name for name in {*here, *elsewhere} if here.get(name) != elsewhere.get(name)]
    assert differ == [], "is site/ that of these sources? Run `make site`"


@pytest.mark.soak
def test_two_clean_builds_with_an_address_are_the_same(tmp_path: Path) -> None:
    first, *_ = both = two_processors()
    one = clean_build(tmp_path / "one", "2027-03-01", first, **ADDRESS)
    other = clean_build(tmp_path / "the other", "2031-07-09", ",".join(both), **ADDRESS)
    assert len(one) > 150
    assert [name for name in {*one, *other} if one.get(name) != other.get(name)] == []


def test_the_clock_is_another() -> None:
    if not shutil.which("faketime"):
        not_run("faketime", "apt-get install faketime")
    clock = [
        "faketime",
        "2031-07-09 03:00:00",
        sys.executable,
        "-c",
        "import time; print(time.time())",
    ]
    assert float(subprocess.check_output(clock)) > time.time() + 86_400
