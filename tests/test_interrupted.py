"""Whatever interrupts a command, however little a disk holds: no wrong page, and a way on.

`tests/test_build.py` has a sample of it for every test run. A moment is drawn from what the test is
called, so that a failure can be repeated: `pytest -m soak tests/test_interrupted.py -k site-7`.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlhf_explained import memo
from rlhf_explained.pipeline import RunConfig, run_key
from tests.test_build import ROOT, contents, copied, environment, mounted, succeeds
from tests.test_memo import OTHERS

pytestmark = pytest.mark.soak

PAGE = "docs/guide/sft.md"
PYTHON = f"PYTHON={sys.executable}"
COMMANDS = {  # each with the seconds in which it is interrupted, and how often
    "site": (["make", "site", PYTHON], 12, 12),
    "serve": (["make", "serve", PYTHON, "PORT={port}"], 20, 10),
    "page": (["make", "test", f"PAGE={PAGE}", PYTHON], 8, 4),
    # what of `make test` writes into the checkout and its cache
    "test": (
        ["sh", "-c", f"{sys.executable} -m rlhf_explained site && {sys.executable} -m pytest "
         f"--quiet --numprocesses 2 tests/test_memo.py tests/test_docs_outputs.py {PAGE}"],
        25,
        4,
    ),
}  # fmt: skip
MOMENTS = [(name, number) for name, (*_, many) in COMMANDS.items() for number in range(many)]
KINDS = ("cards", "docstrings", "figures", "notebooks", "texts", "wheels")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, built, with no more in its cache than that needs."""
    copy = copied(ROOT, tmp_path_factory.mktemp("build") / "built", Path("nowhere"))
    shutil.rmtree(copy / "site", ignore_errors=True)
    run = Path("runs", run_key(RunConfig()))
    shutil.copytree(memo.root() / run, copy / ".cache" / run)
    succeeds(copy)
    return copy


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of that copy, to be damaged."""
    return copied(built, tmp_path / "copy", built / ".cache")


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served(built: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make serve` serves, undisturbed."""
    copy = copied(built, tmp_path_factory.mktemp("served") / "copy", built / ".cache")
    command = Command(copy, "serve", port)
    wait_for(lambda: len(command.served()) > 100 and visit(port), command.said)
    command.interrupt(signal.SIGINT)
    return command.served()


class Command:
    """A command in a process group of its own, with a folder of its own for temporary files."""

    def __init__(self, copy: Path, name: str, port: int) -> None:
        self.copy, self.port, self.log = copy, port, copy / "said.log"
        self.temporary = copy.parent / "temporary"
        self.temporary.mkdir(exist_ok=True)
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [word.format(port=port) for word in COMMANDS[name][0]],
                cwd=copy,
                env=environment(copy) | {"TMPDIR": str(self.temporary)},
                start_new_session=True,
                # a program that was started in the background ignores it, and so do its children
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                stdout=log,
                stderr=log,
            )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def served(self) -> dict[str, str]:
        pages = self.copy / ".cache" / f"served-{self.port}" / "pages"
        with contextlib.suppress(FileNotFoundError):  # it is being replaced
            return contents(pages)
        return {}

    def interrupt(self, how: signal.Signals) -> None:
        """Interrupt it with all that it has started, and wait until nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        self.process.wait(timeout=1800)
        wait_for(lambda: not self.left_running(), lambda: f"{self.left_running()}")

    def left_running(self) -> list[str]:
        """The processes that have its environment, where the system shows that."""
        sign, found = f"TMPDIR={self.temporary}\0".encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if sign in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_text().replace("\0", " "))
        return found


def wait_for(condition: Callable[[], object], why: Callable[[], str]) -> None:
    until = time.monotonic() + 600  # a busy machine may take its time
    while not condition():
        assert time.monotonic() < until, f"still not so\n{why()}"
        time.sleep(0.1)


def visit(port: int) -> str:
    """A page that is served now, or nothing."""
    address = f"http://127.0.0.1:{port}/guide/sft/"
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10) as response:
        return response.read().decode()
    return ""


def edit(page: Path, text: str) -> None:
    """Save a page at once, as editors do."""
    page.with_suffix(".saved").write_text(text, encoding="utf-8")
    page.with_suffix(".saved").replace(page)


def left_over(copy: Path) -> list[Path]:
    return [*copy.glob(".site-*"), *(copy / ".cache").glob("*/*.new-*")]


# --- at thirty random moments ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), MOMENTS, ids=lambda value: str(value))
def test_interrupted(
    name: str, number: int, copy: Path, built: Path, served: dict[str, str], port: int
) -> None:
    draw = random.Random(f"{name}-{number}")
    how = draw.choice((signal.SIGINT, signal.SIGKILL))
    moment = draw.uniform(0, COMMANDS[name][1])
    cold = [kind for kind in KINDS if draw.random() < 0.4]
    print(f"{how.name} after {moment:.2f} s, without {', '.join(cold) or 'nothing'} in the cache")
    for kind in cold:
        shutil.rmtree(copy / ".cache" / kind)
    sound, page = contents(built / "site"), copy / PAGE
    text = page.read_text(encoding="utf-8")

    command = Command(copy, name, port)
    until = time.monotonic() + moment
    while time.monotonic() < until and command.process.poll() is None:
        if name == "serve":
            edit(page, f"{text}\nEdited {time.monotonic():.2f}.\n")
            shown = visit(port)
            assert shown.rstrip().endswith("</html>") or shown == ""
        time.sleep(min(draw.uniform(0, 2), max(0, until - time.monotonic())))
    assert command.process.poll() in (None, 0), command.said()
    command.interrupt(how)
    edit(page, text)
    assert not (copy / "site").exists() or contents(copy / "site") == sound
    if how == signal.SIGINT and name == "site":
        assert not left_over(copy)
        left = [path.name for path in command.temporary.iterdir()]
        assert [name for name in left if not name.startswith("torchinductor_")] == []  # its cache

    if name == "serve":
        again = Command(copy, name, port)
        wait_for(lambda: again.served() == served and visit(port), again.said)
        again.interrupt(signal.SIGINT)
        assert "damaged" not in again.said()
        assert not list((copy / ".cache").glob("served-*/old"))
        return
    if name == "page":
        again = Command(copy, name, port)
        assert again.process.wait(timeout=1800) == 0, again.said()
    assert "damaged" not in succeeds(copy)
    assert contents(copy / "site") == sound
    assert not left_over(copy)


# --- full disks --------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, holds: str = "size=64m") -> Iterator[None]:
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", holds, "tmpfs"):
        yield


def fill(folder: Path, but: int) -> Path:
    """Leave no more than some bytes of a disk."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    with filler.open("wb") as stream:
        stream.write(bytes(max(0, free - but)))
    return filler


def build(copy: Path, **settings: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rlhf_explained", "site"],
        cwd=copy,
        env=environment(copy) | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=1800,
    )
    return done.returncode, done.stderr


def assert_stops(copy: Path, built: Path, full: Path, **settings: str) -> str:
    """A build ends, names the full disk in its last line, and leaves the site as it was."""
    code, errors = build(copy, **settings)
    assert code == 74, errors
    last = errors.strip().splitlines()[-1]
    assert "the disk is full; make room there" in last
    assert str(full) in last.partition(": the disk is full")[0]
    assert last.endswith("; site/ stays as it was")
    assert "Traceback" not in errors
    assert contents(copy / "site") == contents(built / "site")
    return last


def assert_builds(copy: Path, built: Path, **settings: str) -> None:
    code, errors = build(copy, **settings)
    assert code == 0, errors
    assert "damaged" not in errors
    assert contents(copy / "site") == contents(built / "site")


@pytest.mark.parametrize("free", [0, 64 << 10, 512 << 10, 2 << 20])
def test_a_full_disk_with_the_cache(copy: Path, built: Path, tmp_path: Path, free: int) -> None:
    cache = tmp_path / "cache"
    with small_disk(cache):
        for kind in ("runs", "notebooks", "wheels"):
            shutil.copytree(copy / ".cache" / kind, cache / kind)
        filler = fill(cache, but=free)
        said = assert_stops(copy, built, full=cache, RLHF_EXPLAINED_CACHE=str(cache))
        assert "name another folder in RLHF_EXPLAINED_CACHE" in said
        filler.unlink()
        assert not list(cache.glob("*/*.new-*"))
        assert_builds(copy, built, RLHF_EXPLAINED_CACHE=str(cache))


def test_a_full_disk_where_the_run_should_lie(copy: Path, built: Path, tmp_path: Path) -> None:
    """Another process trains: it says what is wrong, at once instead of after the training.

    Which takes more processor time than this by far.
    """
    cache = tmp_path / "small"
    with small_disk(cache, holds="nr_inodes=2"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        code, errors = build(copy, RLHF_EXPLAINED_CACHE=str(cache))
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 30
    assert code == 74
    said = [line for line in errors.splitlines() if "the disk is full; make room there" in line]
    assert [line.startswith(f"{cache}/runs") for line in said] == [True], errors
    last = "There is no run to show: see the line above; site/ stays as it was"
    assert errors.strip().endswith(last)
    assert "Traceback" not in errors
    assert contents(copy / "site") == contents(built / "site")


@pytest.mark.parametrize("free", [0, 1 << 20, 5 << 20])
def test_a_full_disk_with_the_checkout(built: Path, tmp_path: Path, free: int) -> None:
    disk = tmp_path / "small"
    with small_disk(disk):
        copy = copied(built, disk / "copy", Path("nowhere"))
        cache = {"RLHF_EXPLAINED_CACHE": str(built / ".cache")}
        filler = fill(disk, but=free)
        assert_stops(copy, built, full=copy, **cache)
        assert not left_over(copy)
        filler.unlink()
        shutil.rmtree(copy / "site")
        assert_builds(copy, built, **cache)


@pytest.mark.parametrize("kind", ["figures", "cards"])
def test_a_full_disk_for_temporary_files(
    copy: Path, built: Path, tmp_path: Path, kind: str
) -> None:
    """Other processes draw there."""
    shutil.rmtree(copy / ".cache" / kind)
    disk = tmp_path / "small"
    with small_disk(disk):
        fill(disk, but=12 << 10)
        assert_stops(copy, built, full=disk, TMPDIR=str(disk))
        assert [path.name for path in disk.iterdir()] == ["filler"]
    assert_builds(copy, built)


# --- a cache of another version ----------------------------------------------------------------


def other_content(entry: Path) -> None:
    file = next(file for file in sorted(entry.iterdir()) if file.name != "manifest.json")
    file.write_bytes(file.read_bytes().replace(b"e", b"o", 1) + b" ")


DAMAGES = [other_content] + [
    OTHERS[name][0] for name in (
        "no manifest", "a manifest cut short", "a manifest with unknown fields",
        "a file in place of the folder", "a link in place of the folder",
    )
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_of_another_version(kind: str, copy: Path, built: Path) -> None:
    """Each entry of the kind has suffered; a line tells of each, once, and all are made again."""
    entries = sorted((copy / ".cache" / kind).glob("*/"))
    for number, entry in enumerate(entries):
        DAMAGES[number % len(DAMAGES)](entry)
    stale = copy / ".cache" / kind / ("0" * 20)
    stale.mkdir()  # the key of no code there is: it is not even looked at
    errors = succeeds(copy)
    told = [line for line in errors.splitlines() if "making it again" in line]
    assert sorted(told) == [
        line for entry in entries for line in told if line.startswith(f"{entry}: damaged entry (")
    ]
    assert len(told) == len(entries) > 0
    assert list(stale.iterdir()) == []
    assert contents(copy / "site") == contents(built / "site")
    assert "making it again" not in succeeds(copy)
