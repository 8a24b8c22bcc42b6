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
    for name, day in (("a.md", 1), ("guide/b c–ü.md", 2), ("a.md", 4)):
        (docs / name).write_text(str(day), encoding="utf-8")
        git(docs.parent, "add", ".")
        git(docs.parent, "commit", "--quiet", "-m", "x", date=f"2026-03-0{day}")
    return docs


def test_each_file_has_the_date_of_its_last_commit(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (docs / "new.md").touch()
    run, asked = subprocess.run, []
    counted = lambda *words, **rest: asked.append(1) or run(*words, **rest)  # noqa: E731
    monkeypatch.setattr(dates.subprocess, "run", counted)
    assert dates.last_changes(docs) == {"a.md": "2026-03-04", "guide/b c–ü.md": "2026-03-02"}
    assert asked == [1], "for all files at once"
    assert dates.last_commit(docs) == "2026-03-04"


def test_a_shallow_clone_knows_only_what_it_has_seen(docs: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "2", docs.parent.as_uri(), "two")
    assert dates.last_changes(tmp_path / "two" / "docs") == {"a.md": "2026-03-04"}


def test_without_git_or_checkout_there_are_no_dates(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert dates.last_changes(tmp_path / "elsewhere") == {}
    assert dates.last_commit(tmp_path / "elsewhere") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dates.last_changes(docs) == {}
