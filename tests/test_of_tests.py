"""Tests that would prove nothing: never collected, or left before their last line."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LEAVES = ast.Return | ast.Raise | ast.Continue | ast.Break


def faults(path: Path, imported: frozenset[str] = frozenset()) -> Iterator[str]:
    """Say of functions that nobody calls and of lines that nobody reaches where they are."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)} | imported
    called |= {node.arg for node in ast.walk(module) if isinstance(node, ast.arg)}  # fixtures
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and path.name.startswith("test_"):
            runs = node.name.startswith(("test_", "pytest_")) or node.decorator_list
            if not runs and node.name not in called:
                yield f"{path}:{node.lineno}: nothing calls {node.name}: call it `test_…`"
    for node in ast.walk(module):
        for body in (getattr(node, part, []) for part in ("body", "orelse", "finalbody")):
            for line, after in pairwise(body if isinstance(body, list) else ()):
                if isinstance(line, LEAVES):
                    yield f"{path}:{after.lineno}: nothing reaches this: take out what leaves"


def test_every_test_is_run_to_its_end() -> None:
    paths = sorted(TESTS.rglob("*.py"))
    imported = frozenset(
        name.name
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    )
    found = [fault for path in paths for fault in faults(path, imported)]
    assert not found, "\n".join(found).replace(f"{TESTS.parent}/", "")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("def loss_is_zero():\n    assert True\n", 1, "nothing calls loss_is_zero"),
        ("def test_it():\n    return\n    assert False\n", 3, "nothing reaches this"),
        (
            "def test_it():\n    for _ in ():\n        continue\n        assert 1\n",
            4,
            "nothing reaches",
        ),
    ],
)
def test_one_that_is_not_is_found(text: str, line: int, what: str, tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(text, encoding="utf-8")
    (fault,) = faults(path)
    assert fault.startswith(f"{path}:{line}: {what}")
