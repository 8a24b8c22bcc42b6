"""No mistake in a stage or the world may go unseen: each is planted, and its test has to fail.

One is planted in every test run, all of them by `make soak`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mistakes import MISTAKES, Mistake

ROOT = Path(__file__).resolve().parents[2]
EVERY = {
    f"{file}: {name}": (file, mistake)
    for file, mistakes in MISTAKES.items()
    for name, mistake in mistakes.items()
}


def planted(file: str, mistake: Mistake, text: str) -> str:
    """A file's text with a mistake in it."""
    times = text.count(mistake.old)
    assert times == 1, f"rlhf_explained/{file} has this {times} times, not once:\n{mistake.old}"
    return text.replace(mistake.old, mistake.new)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its tests, where a mistake harms nobody."""
    copy = tmp_path_factory.mktemp("mistakes")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rlhf_explained", copy / "rlhf_explained", ignore=ignored)
    (copy / "tests").mkdir()
    for path in (ROOT / "conftest.py", ROOT / "pyproject.toml", *(ROOT / "tests").glob("*.py")):
        shutil.copy(path, copy / path.relative_to(ROOT))
    return copy


def check(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests there."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in tests)],
        cwd=copy,
        # Bytecode is known by its file's second and size, which a mistake may leave as they were.
        env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )


def killed(copy: Path, file: str, mistake: Mistake) -> bool:
    """Whether the test fails with the mistake in place; nothing else may go wrong."""
    path = copy / "rlhf_explained" / file
    sound = path.read_text(encoding="utf-8")
    path.write_text(planted(file, mistake, sound), encoding="utf-8")
    try:
        done = check(copy, mistake.test)
    finally:
        path.write_text(sound, encoding="utf-8")
    failed = done.returncode == 1 and f"FAILED tests/{mistake.test}" in done.stdout
    assert failed or done.returncode == 0, done.stdout + done.stderr
    return failed


def test_there_are_forty_in_every_stage_and_each_can_be_planted() -> None:
    assert len(EVERY) >= 40
    every_stage = {path.name for path in (ROOT / "rlhf_explained/stages").glob("[a-z]*.py")}
    world = {"corpus.py", "questions.py", "labeler.py"}
    assert {Path(file).name for file in MISTAKES} == every_stage | {"rollout.py"} | world
    for file, mistake in EVERY.values():
        text = (ROOT / "rlhf_explained" / file).read_text(encoding="utf-8")
        assert planted(file, mistake, text) != text
    with pytest.raises(
        AssertionError, match=r"stages/dpo.py has this 0 times, not once:\n  no such"
    ):
        planted("stages/dpo.py", Mistake("no such text", "", ""), text)


def test_a_mistake_that_a_test_sees_is_killed_and_one_that_none_sees_is_not(copy: Path) -> None:
    seen = MISTAKES["stages/pretrain.py"]["documents have no <eos>"]
    unseen = Mistake("batches = document_batches(", "batches = list(", seen.test)
    assert killed(copy, "stages/pretrain.py", seen)
    assert not killed(copy, "stages/pretrain.py", unseen)
    with pytest.raises(AssertionError, match="not found"):
        killed(copy, "stages/pretrain.py", Mistake(seen.old, seen.new, "test_stages.py::test_no"))


@pytest.mark.soak
def test_without_a_mistake_every_one_of_these_tests_passes(copy: Path) -> None:
    done = check(copy, *sorted({mistake.test for _, mistake in EVERY.values()}))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize(("file", "mistake"), EVERY.values(), ids=EVERY)
def test_every_mistake_is_killed(file: str, mistake: Mistake, copy: Path) -> None:
    assert killed(copy, file, mistake), f"tests/{mistake.test} does not see it"
