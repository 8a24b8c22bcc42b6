"""Dates of the last changes, from repositories made for the purpose."""

import subprocess
from pathlib import Path

import pytest

from rlhf_explained.site.publish import dates


def git(folder: Path, *words: str, date: str = "2026-01-01") -> None:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    moment = {f"GIT_{who}_DATE": f"{date}T12:00:00Z" for who in ("AUTHOR", "COMMITTER")}
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, env=moment | {"HOME": "/"})


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "checkout" / "docs"
    (docs / "guide").mkdir(parents=True)
    git(docs.parent, "init", "--quiet")
    for name, date in (
        ("a.md", "2026-03-01"),
        ("guide/b c–ü.md", "2026-03-02"),
        ("a.md", "2026-03-04"),
    ):
        (docs / name).write_text(date, encoding="utf-8")
        git(docs.parent, "add", ".")
        git(docs.parent, "commit", "--quiet", "-m", "x", date=date)
    return docs


def test_each_file_has_the_date_of_its_last_commit(docs: Path) -> None:
    (docs / "new.md").touch()
    assert dates.last_changes(docs) == {"a.md": "2026-03-04", "guide/b c–ü.md": "2026-03-02"}


def test_git_is_asked_once(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    run = subprocess.run
    monkeypatch.setattr(
        dates.subprocess, "run", lambda *words, **rest: asked.append(1) or run(*words, **rest)
    )
    assert len(dates.last_changes(docs)) == 2
    assert asked == [1]


def test_a_shallow_clone_knows_only_what_it_has_seen(docs: Path, tmp_path: Path) -> None:
    whole = docs.parent.as_uri()
    git(tmp_path, "clone", "--quiet", "--depth", "2", whole, "two")
    assert dates.last_changes(tmp_path / "two" / "docs") == {"a.md": "2026-03-04"}


def test_without_git_or_checkout_there_are_no_dates(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert dates.last_changes(tmp_path / "elsewhere") == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dates.last_changes(docs) == {}


def test_the_last_commit_dates_what_git_does_not_know(docs: Path, tmp_path: Path) -> None:
    assert dates.last_commit(docs) == "2026-03-04"
    (tmp_path / "elsewhere").mkdir()
    assert dates.last_commit(tmp_path / "elsewhere") == ""
