"""`site/` is whole or absent: when builds are killed, meet each other, or find faults.

Everything happens in copies of the checkout, with copies of its cache.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from rlhf_explained import memo, parallel

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 1800  # seconds: a fault, not a slow machine, is what takes so long


def copied(source: Path, target: Path, cache: Path) -> Path:
    """Copy a checkout and its cache, without what belongs to the place."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".*cache", ".site*", "__pycache__")
    shutil.copytree(source, target, ignore=ignored, symlinks=True)
    if cache.exists():
        unread = ("*.lock", "served-*", "points", "trl")  # no build reads them; trl is huge
        shutil.copytree(cache, target / ".cache", ignore=shutil.ignore_patterns(*unread))
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, built."""
    copy = copied(ROOT, tmp_path_factory.mktemp("build") / "built", memo.root())
    shutil.rmtree(copy / "site", ignore_errors=True)
    succeeds(copy)
    return copy


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of that copy, to be damaged."""
    return copied(built, tmp_path / "copy", built / ".cache")


def environment(copy: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RLHF_EXPLAINED_CACHE"}
    return {**kept, "PYTHONPATH": str(copy)}


def driven(copy: Path, script: str, *arguments: str) -> Any:
    """Run a script in a copy, and read the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=copy,
        env=environment(copy),
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make_site(copy: Path, **settings: str) -> "subprocess.Popen[str]":
    """Start `make site` in a process group of its own, with the tests' own environment."""
    return subprocess.Popen(
        ["make", "site", f"PYTHON={sys.executable}"],
        cwd=copy,
        env=environment(copy) | settings,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a command with all it has started, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def succeeds(copy: Path) -> str:
    process = make_site(copy)
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors
    return errors


def files(site: Path) -> list[str]:
    return sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, str]:
    """The digest of each file, by its path."""
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in files(folder)}


def whole(copy: Path, built: Path) -> bool:
    """Whether a copy's site has all files of the built one, each to its end."""
    pages = list((copy / "site").rglob("*.html"))
    ended = all(page.read_text(encoding="utf-8").rstrip().endswith("</html>") for page in pages)
    return ended and files(copy / "site") == files(built / "site")


def test_the_site_holds_every_page(built: Path) -> None:
    site = built / "site"
    for source in {*(ROOT / "docs").rglob("*.md")} - {ROOT / "docs/reference/decisions.md"}:
        page = source.relative_to(ROOT / "docs").with_suffix("")
        page = page.parent if page.name == "index" else page
        assert (site / page / "index.html").is_file(), page
    for notebook in (ROOT / "docs" / "notebooks").glob("*.py"):
        assert (site / "notebooks" / notebook.stem / "index.html").is_file()
        assert (site / "notebooks" / f"{notebook.stem}.ipynb").is_file()
    assert not list(built.glob(".site-*"))


# --- a warm build ------------------------------------------------------------------------------


def imported(copy: Path, *command: str) -> set[str]:
    """The packages that a command imports, its child processes included."""
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment(copy) | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(re.findall(r"(?m)^import time:.*\| +(\w+)", done.stderr))


def test_a_warm_build_imports_neither_torch_nor_matplotlib(copy: Path) -> None:
    packages = imported(copy, "make", "site", f"PYTHON={sys.executable}")
    assert "mkdocs" in packages
    assert not {"torch", "matplotlib", "numpy"} & packages


def test_the_test_above_can_fail(copy: Path) -> None:
    hooks = copy / "rlhf_explained" / "site" / "build.py"
    hooks.write_text(f"import matplotlib\n{hooks.read_text(encoding='utf-8')}", encoding="utf-8")
    assert "matplotlib" in imported(copy, sys.executable, "-m", "rlhf_explained", "site")


# --- builds that meet or die -------------------------------------------------------------------


def test_two_at_once_both_succeed(copy: Path, built: Path) -> None:
    shutil.rmtree(copy / "site")
    one, other = make_site(copy), make_site(copy)
    errors = one.communicate(timeout=1800)[1] + other.communicate(timeout=600)[1]
    assert (one.returncode, other.returncode) == (0, 0), errors
    assert whole(copy, built)
    assert not list(copy.glob(".site-*"))


def test_killed_while_it_writes_pages(copy: Path, built: Path) -> None:
    process = make_site(copy)
    while len(list((copy / ".site-new").rglob("*.html"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    kill(process)
    assert (copy / ".site-new").exists()
    assert whole(copy, built)
    succeeds(copy)
    assert whole(copy, built)
    assert not list(copy.glob(".site-*"))


def test_killed_between_the_two_renames(copy: Path, built: Path) -> None:
    (copy / "site").rename(copy / ".site-old")
    (copy / "docs" / "index.md").write_text("[a broken link](nowhere.md)\n")
    process = make_site(copy)
    process.communicate(timeout=1800)
    assert process.returncode != 0
    assert whole(copy, built)  # the last good one is back


def test_killed_at_two_random_moments(copy: Path, built: Path) -> None:
    """A sample of `tests/test_interrupted.py`."""
    shutil.rmtree(copy / ".cache" / "docstrings")
    draw = random.Random(0)
    for _ in range(2):
        process = make_site(copy)
        time.sleep(draw.uniform(0, 6))
        kill(process)
        assert not (copy / "site").exists() or contents(copy / "site") == contents(built / "site")
    assert "damaged" not in succeeds(copy)
    assert contents(copy / "site") == contents(built / "site")


def test_what_waits_does_not_begin_after_an_interruption() -> None:
    begun: list[int] = []

    def job(number: int) -> None:
        begun.append(number)
        time.sleep(0.05)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel.together([partial(job, number) for number in range(50)])
    assert len(begun) < 20


# --- disks that cannot be written --------------------------------------------------------------


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Keep everybody from writing into a folder; root obeys nothing less than a mount."""
    if os.geteuid():
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        return
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount something on a folder; in vain where this is not allowed, even where `CI` is set."""
    done = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"not run: mounting needs root's rights here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_warm_build_writes_nothing_into_the_cache(copy: Path, built: Path) -> None:
    with read_only(copy / ".cache"):
        succeeds(copy)
    assert contents(copy / "site") == contents(built / "site")


def test_a_read_only_cache_that_lacks_something_is_named(copy: Path, built: Path) -> None:
    """Beside one that lacks nothing, this shows that the test above can fail."""
    shutil.rmtree(copy / ".cache" / "wheels")
    with read_only(copy / ".cache"):
        process = make_site(copy)
        _, errors = process.communicate(timeout=1800)
    assert process.returncode != 0
    said = [line for line in errors.splitlines() if str(copy / ".cache") in line]
    assert len(said) == 1, errors
    assert "is read-only; make it writable" in said[0] or "access is denied" in said[0]
    assert "RLHF_EXPLAINED_CACHE" in said[0]
    assert "Traceback" not in errors
    assert contents(copy / "site") == contents(built / "site")


# --- serving -----------------------------------------------------------------------------------


def test_serve_shows_edits_and_survives_faults(copy: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page, module = (
        copy / "docs" / "guide" / "quiz.md",
        copy / "rlhf_explained/site/markdown/macros.py",
    )
    text, code = page.read_text(encoding="utf-8"), module.read_text(encoding="utf-8")
    left_over = copy / ".cache" / f"served-{port}" / "old"  # by one that was killed
    left_over.mkdir(parents=True)
    log = (copy / "serve.log").open("w", encoding="utf-8")
    process = subprocess.Popen(
        ["make", "serve", f"PORT={port}", f"PYTHON={sys.executable}"],
        cwd=copy,
        env=environment(copy),
        start_new_session=True,
        stdout=log,
        stderr=log,
    )

    def said() -> str:
        assert process.poll() is None, (copy / "serve.log").read_text(encoding="utf-8")
        return (copy / "serve.log").read_text(encoding="utf-8")

    def shows(words: str, page: str = "guide/quiz") -> None:
        address = f"http://127.0.0.1:{port}/{page}/"
        for _ in range(PATIENCE * 10):
            said()
            with suppress(OSError), urllib.request.urlopen(address, timeout=600) as response:
                if words in response.read().decode():
                    return
            time.sleep(0.1)
        pytest.fail(f"{words!r} is not served: {said()}")

    def says(words: str) -> None:
        for _ in range(PATIENCE * 10):
            if words in said():
                return
            time.sleep(0.1)
        pytest.fail(f"{words!r}: {said()}")

    try:
        shows("livereload(")
        page.write_text(f"{text}\nedited, with {{{{ value: nothing }}}}\n", encoding="utf-8")
        shows("edited, with")
        page.write_text(f"{text}\nmended, {{{{ value: ppo-gold }}}}\n", encoding="utf-8")
        shows("mended, ")
        values = copy / "rlhf_explained" / "measured" / "of_run.py"
        known = values.read_text(encoding="utf-8")
        values.write_text(known.replace(", standard error ", ", its error "), encoding="utf-8")
        shows(", its error ")
        values.write_text(known, encoding="utf-8")
        numbers = copy / "rlhf_explained/figures/chapters/sft.py"
        good = numbers.read_text(encoding="utf-8")
        numbers.write_text(f"{good}\nx = (\n", encoding="utf-8")
        says(f"sft.py:{good.count(chr(10)) + 2}: this is no Python")
        numbers.write_text(good, encoding="utf-8")
        page.write_text(f"{text}\nand on, {{{{ value: ppo-gold }}}}\n", encoding="utf-8")
        shows("and on, ")
        module.write_text(f"{code}\nx = (\n", encoding="utf-8")
        says("markdown/macros.py:")  # code that Python cannot read
        shows("Measured: ")
        module.write_text(code.replace("Measured: ", "Seen in the run: "), encoding="utf-8")
        shows("Seen in the run: ")
        page.rename(page.with_name("questions.md"))
        shows("and on, ", "guide/questions")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/guide/quiz/", timeout=600)
    finally:
        kill(process)
        log.close()


# --- faults ------------------------------------------------------------------------------------

PLANTED = """
{{ value: no-such-value }}

```figure
no-such-figure
A caption.
```

[nowhere](nowhere.md)

[no anchor](../index.md#no-such-anchor)

$\\frac{1$

<img src="x.svg">

[no such name][rlhf_explained.no_such_name]
"""


def test_all_faults_are_listed_with_file_and_line(copy: Path, built: Path) -> None:
    page = copy / "docs" / "guide" / "quiz.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text + PLANTED, encoding="utf-8")
    notebook = copy / "docs" / "notebooks" / "01_what_is_rlhf.py"
    cells = notebook.read_text(encoding="utf-8")
    notebook.write_text(cells + "\n# %%\n1 / 0\n", encoding="utf-8")

    process = make_site(copy)
    _, errors = process.communicate(timeout=1800)
    assert process.returncode != 0
    listed = errors[errors.index("site/ stays as it was") :]

    def is_listed(file: str, line: int, words: str) -> bool:
        return re.search(rf"(?m)^{file}:{line}: .*{words}", listed) is not None

    for planted, words in {
        "{{ value: no-such-value": "unknown value 'no-such-value'",
        "```figure": "unknown figure 'no-such-figure'",
        "(nowhere.md)": "'nowhere.md'",
        "#no-such-anchor": "does not contain an anchor '#no-such-anchor'",
        "$\\frac": "does not parse",
        "<img": "'x.svg' has no alt text",
        "rlhf_explained.no_such_name": "cross-reference target 'rlhf_explained.no_such_name'",
    }.items():
        line = text.count("\n") + 1 + PLANTED[: PLANTED.index(planted)].count("\n")
        assert is_listed("docs/guide/quiz.md", line, words), f"line {line}: {words}\n{listed}"
    line = cells.count("\n") + 3
    assert is_listed(f"docs/notebooks/{notebook.name}", line, "raises ZeroDivisionError"), listed
    assert whole(copy, built)
    assert not list(copy.glob(".site-*"))
