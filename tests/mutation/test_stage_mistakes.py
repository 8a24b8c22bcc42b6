"""No mistake in a stage or the world may go unseen: each is planted, and its test has to fail.

One is planted in every test run, all of them by `make soak`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mistakes import MISTAKES, Mistake

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rlhf_explained"


def planted(mistake: Mistake, text: str) -> str:
    """A file's text with a mistake in it."""
    times = text.count(mistake.old)
    assert times == 1, f"{mistake.file} has this {times} times, not once:\n{mistake.old}"
    return text.replace(mistake.old, mistake.new)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its tests, where a mistake harms nobody."""
    copy = tmp_path_factory.mktemp("mistakes")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, copy / "rlhf_explained", ignore=ignored)
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


def killed(copy: Path, mistake: Mistake) -> bool:
    """Whether the test fails with the mistake in place; nothing else may go wrong."""
    path = copy / "rlhf_explained" / mistake.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(planted(mistake, sound), encoding="utf-8")
    try:
        done = check(copy, mistake.test)
    finally:
        path.write_text(sound, encoding="utf-8")
    failed = done.returncode == 1 and f"FAILED tests/{mistake.test}" in done.stdout
    assert failed or done.returncode == 0, done.stdout + done.stderr
    return failed


def test_there_are_some_in_every_stage_and_each_can_be_planted() -> None:
    stages = {f"stages/{path.name}" for path in (PACKAGE / "stages").glob("[a-z]*.py")}
    world = {f"world/{name}.py" for name in ("corpus", "questions", "labeler")}
    assert {mistake.file for mistake in MISTAKES.values()} == stages | world | {"rollout.py"}
    for mistake in MISTAKES.values():
        text = (PACKAGE / mistake.file).read_text(encoding="utf-8")
        assert planted(mistake, text) != text
    with pytest.raises(AssertionError, match=r"has this 0 times, not once:\n  no such"):
        planted(mistake._replace(old="no such text"), text)


def test_a_mistake_that_a_test_sees_is_killed_and_one_that_none_sees_is_not(copy: Path) -> None:
    seen = MISTAKES["stages/pretrain.py: documents have no <eos>"]
    assert killed(copy, seen)
    assert not killed(copy, seen._replace(old="batches = document_batches(", new="batches = list("))
    with pytest.raises(AssertionError, match="not found"):
        killed(copy, seen._replace(test="test_stages.py::test_no"))


@pytest.mark.soak
def test_without_a_mistake_every_one_of_these_tests_passes(copy: Path) -> None:
    done = check(copy, *sorted({mistake.test for mistake in MISTAKES.values()}))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_every_mistake_is_killed(mistake: Mistake, copy: Path) -> None:
    assert killed(copy, mistake), f"tests/{mistake.test} does not see it"
