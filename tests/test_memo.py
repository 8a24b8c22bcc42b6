"""The memo: whole entries or none, damage noticed, source compared by what it does."""

import json
from pathlib import Path

import pytest

from rlhf_explained import memo


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


def test_a_flipped_byte_is_noticed_said_and_mended() -> None:
    folder = memo.entry("things", "key", write("one"))
    (folder / "result.txt").write_text("onf")
    said: list[str] = []
    memo.entry("things", "key", write("one"), notice=said.append)
    assert (folder / "result.txt").read_text() == "one"
    assert len(said) == 1
    assert "result.txt does not match its checksum" in said[0]
    assert str(folder) in said[0]


@pytest.mark.parametrize("damage", ["manifest.json", "result.txt"])
def test_a_missing_file_is_damage(damage: str) -> None:
    folder = memo.entry("things", "key", write("one"))
    (folder / damage).unlink()
    said: list[str] = []
    memo.entry("things", "key", write("two"), notice=said.append)
    assert (folder / "result.txt").read_text() == "two"
    assert len(said) == 1


def test_a_file_of_another_is_damage() -> None:
    folder = memo.entry("things", "key", write("one"))
    (folder / "stray.txt").write_text("what is this")
    said: list[str] = []
    memo.entry("things", "key", write("one"), notice=said.append)
    assert "stray.txt" in said[0]
    assert not (folder / "stray.txt").exists()


def test_an_interrupted_making_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memo.entry("things", "key", interrupted)
    assert [path.name for path in (tmp_path / "things").iterdir() if path.is_dir()] == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    stale = tmp_path / "things" / "key.new-abc"
    stale.mkdir(parents=True)
    (stale / "half.txt").write_text("half")
    memo.entry("things", "key", write("one"))
    assert not stale.exists()


def test_the_manifest_lists_every_file() -> None:
    folder = memo.entry("things", "key", write("one"))
    assert list(json.loads((folder / "manifest.json").read_text())) == ["result.txt"]


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
