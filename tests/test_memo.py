"""The memo: whole entries or none, damage noticed, source compared by what it does."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from rlhf_explained import memo
from rlhf_explained.disk import DiskError


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))


def write(text: str):
    def make(folder: Path) -> None:
        (folder / "result.txt").write_text(text)

    return make


def refuse(folder: Path) -> None:
    raise AssertionError("made again although it was there")


def test_an_entry_is_made_once() -> None:
    first = memo.entry("things", "key", write("one"))
    assert memo.entry("things", "key", refuse) == first
    assert (first / "result.txt").read_text() == "one"


def test_nothing_is_seen_of_an_entry_that_is_being_made(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        write("half")(folder)
        assert not (tmp_path / "things" / "key").exists()

    memo.entry("things", "key", make)


def test_an_interrupted_making_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memo.entry("things", "key", interrupted)
    assert [path.name for path in (tmp_path / "things").iterdir() if path.is_dir()] == []


def test_what_killed_processes_left_is_swept_unless_one_is_at_work(tmp_path: Path) -> None:
    own, left, made_now = (
        tmp_path / "things" / f"{name}.new-abc" for name in ("key", "left", "now")
    )
    for folder in (own, left, made_now):
        folder.mkdir(parents=True)
        write("half")(folder)
    with FileLock(tmp_path / "things" / "now.lock"):
        memo.entry("things", "key", write("one"))
    assert [folder.exists() for folder in (own, left, made_now)] == [False, False, True]


def replaced(folder: Path, by: Callable[[Path], object]) -> None:
    shutil.rmtree(folder)
    by(folder)


def manifest(change: Callable[[str], str]) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(change(file.read_text()))

    return changed


def link_to_copy(folder: Path) -> None:
    copy = folder.with_name(f"{folder.name}-elsewhere")
    shutil.copytree(folder, copy)
    replaced(folder, lambda place: place.symlink_to(copy))


def link_inside(folder: Path) -> None:
    copy = folder.parent.parent / "result.txt"
    (folder / "result.txt").rename(copy)
    (folder / "result.txt").symlink_to(copy)


# what has become of an entry, and more words of what is said about it
OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a manifest with unknown fields": (
        manifest(lambda text: json.dumps({**json.loads(text), "version": "2"})), ""),
    "a manifest of another form": (manifest(lambda text: f"[{text}]"), ""),
    "a manifest cut short": (manifest(lambda text: text[:-9]), ""),
    "an empty manifest": (manifest(lambda text: ""), ""),
    "a manifest of no text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), ""),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), ""),
    "a file in place of the folder": (lambda f: replaced(f, lambda at: at.write_text("one")), ""),
    "a link in place of the folder": (link_to_copy, ""),
    "a link in place of a file": (link_inside, ""),
    "a link to nothing": (lambda f: (f / "more.txt").symlink_to("nowhere"), "more.txt"),
    "a link to nothing in place of the folder": (
        lambda f: replaced(f, lambda at: at.symlink_to("nowhere")), ""),
    "another one's content": (
        lambda f: (f / "result.txt").write_text("onf"), "result.txt does not match its checksum"),
    "no content": (lambda f: (f / "result.txt").unlink(), "result.txt"),
    "a file too many": (lambda f: (f / "stray.txt").write_text("what is this"), "stray.txt"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), OTHERS.values(), ids=OTHERS)
def test_an_entry_of_another_version_is_noticed_said_and_made_again(
    damage: Callable[[Path], object], words: str
) -> None:
    folder = memo.entry("things", "key", write("one"))
    damage(folder)
    assert memo.find("things", "key") is None
    said: list[str] = []
    assert memo.entry("things", "key", write("one"), notice=said.append) == folder
    assert not folder.is_symlink()
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "result.txt"}
    assert (folder / "result.txt").read_text() == "one"
    assert [line.count(f"{folder}: damaged entry (") for line in said] == [1]
    assert words in said[0]
    assert memo.entry("things", "key", refuse) == folder


def test_an_entry_of_another_key_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "things" / "old").mkdir(parents=True)
    (tmp_path / "things" / "old" / "result.txt").write_text("old")
    memo.entry("things", "key", write("one"), notice=pytest.fail)
    assert (tmp_path / "things" / "old" / "result.txt").read_text() == "old"


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write says it: no file

    before = memo.entry("things", "before", write("one"))
    with pytest.raises(DiskError) as caught:
        memo.entry("things", "key", full)
    assert str(caught.value) == (
        f"{tmp_path / 'things'} or {tempfile.gettempdir()}: the disk is full; make room there, "
        "or name another folder in RLHF_EXPLAINED_CACHE"
    )
    assert {path for path in (tmp_path / "things").iterdir() if path.is_dir()} == {before}
    assert memo.entry("things", "before", refuse) == before


def test_what_the_disk_has_no_part_in_is_left_as_it_is() -> None:
    def fails(folder: Path) -> None:
        (folder / "no such folder" / "file").write_text("")

    with pytest.raises(FileNotFoundError):
        memo.entry("things", "key", fails)


def digest(tmp_path: Path, source: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(source)
    return memo.source_digest([path])


def test_docstrings_and_comments_do_not_count_but_numbers_do(tmp_path: Path) -> None:
    plain = digest(tmp_path, "def f(x):\n    return x + 1\n")
    documented = digest(
        tmp_path, '"""Module."""\n\n\ndef f(x):\n    """Add."""\n    # one\n    return x + 1\n'
    )
    changed = digest(tmp_path, "def f(x):\n    return x + 2\n")
    assert plain == documented
    assert plain != changed


@pytest.mark.parametrize(
    "statement",
    [
        "from rlhf_explained.world.essays import text",
        "from rlhf_explained.world import essays",
        "import rlhf_explained.world.essays",
        "import rlhf_explained.world.essays as prose",
        "from ..world.essays import text",
        "from ..world import essays",
        "def f():\n    from rlhf_explained.world.essays import text",
        "from rlhf_explained.world import (\n    corpus,  # (all of it)\n    essays,\n)",
        "import math; from rlhf_explained import world",
    ],
)
def test_what_is_imported_is_found_however_it_is_written(tmp_path: Path, statement: str) -> None:
    package = tmp_path / "rlhf_explained"
    for name, text in {
        "stages/sft.py": statement,
        "world/__init__.py": "from rlhf_explained.world.essays import text",
        "world/essays.py": "from rlhf_explained import site",
        "site/__init__.py": "",
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = memo.sources_of(package / "stages/sft.py", ("stages", "world"), package)
    assert {package / "stages/sft.py", package / "world/essays.py"} <= found
    assert not found & {package / "site/__init__.py"}  # is in none of the rooms
    few = memo.sources_of(package / "stages/sft.py", ("stages", "world"), package, folders=False)
    assert package / "world/essays.py" in few
    is_asked = statement.endswith("import world") or "corpus" in statement  # which is no file
    assert (package / "world/__init__.py" in few) == is_asked


def test_a_key_tells_all_circumstances_apart() -> None:
    keys = {memo.key(seed=1), memo.key(seed=2), memo.key(seed="1"), memo.key(source=1)}
    assert len(keys) == 4
    assert memo.key(seed=1) in keys
