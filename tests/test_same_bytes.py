"""Two clean builds of one commit are the same: elsewhere, on another day, on more processors."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rlhf_explained import memo
from rlhf_explained.pipeline import RunConfig, run_key
from tests.site.conftest import not_run
from tests.test_build import ROOT, copied

ADDRESS = {"SITE_URL": "https://example.org/rlhf/", "REPO_URL": "https://example.org/repo"}


def clean_build(copy: Path, date: str, processor: str) -> dict[str, str]:
    """Build a copy with no more than a run in its cache.

    Args:
        copy: Where to.
        date: What the clock says.
        processor: Those that it may use, as `taskset` reads them.

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
        ["taskset", "-c", processor, "faketime", f"{date} 03:00:00",
         sys.executable, "-m", "rlhf_explained", "site"],
        cwd=copy, env={**kept, **ADDRESS, "PYTHONPATH": str(copy)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    site = copy / "site"
    return {
        str(path.relative_to(site)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


def test_two_clean_builds_are_the_same(tmp_path: Path) -> None:
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    one = clean_build(tmp_path / "one", "2027-03-01", processors.split(",")[0])
    other = clean_build(tmp_path / "elsewhere" / "the other", "2031-07-09", processors)
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
