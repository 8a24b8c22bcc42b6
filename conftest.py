"""Makes pytest run every snippet of the pages and docstrings, each as one test, through Sybil."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.document import PythonDocument
from xdist.scheduler import LoadFileScheduling

from rlhf_explained.site.snippets.find import Snippet, find, is_page
from rlhf_explained.site.snippets.run import hold_global_state, run

ROOT = Path(__file__).resolve().parent

# Tests go side by side; threads inside torch's operations would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")  # a page may show a figure; nobody looks at it here


class Pages(Sybil):
    """The pages below a folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            parsers=[snippets],
            document_types={".py": PythonDocument},  # which imports the module for its docstrings
            setup=begin,
            teardown=end,
        )
        self.path = root

    def should_parse(self, path: Path) -> bool:
        """Whether a file's snippets are tests."""
        return is_page(path, self.path)


def snippets(document: Document) -> Iterator[Region]:
    """Sybil's parser: what `find` finds, by character instead of by line."""
    starts = [0, *(match.end() for match in re.finditer("\n", document.text)), document.end + 1]
    for snippet in find(document.text, python=document.path.endswith(".py")):
        yield Region(starts[snippet.line], starts[snippet.end] - 1, snippet, check)


def check(example: Example) -> str | None:
    """Sybil's evaluator: the faults of a snippet, or nothing."""
    snippet: Snippet = example.parsed
    if snippet.skip:
        raise SkipTest(snippet.skip)
    return "\n".join(run(snippet, example.path, example.namespace).faults) or None


def begin(namespace: dict[str, Any]) -> None:
    """Start a page as a script of its own."""
    namespace.update(__name__="__main__", __put_back__=hold_global_state(seed=1))


def end(namespace: dict[str, Any]) -> None:
    """Let the next page start as this one did."""
    namespace["__put_back__"]()


pytest_collect_file = Pages(ROOT).pytest()


class Together(LoadFileScheduling):
    """Keeps the tests of a file, and the snippets of a page, in one process.

    Those that visit page after page need nothing of each other; they fill the processes up.
    """

    def _split_scope(self, nodeid: str) -> str:
        apart = nodeid.startswith(("tests/site/test_access.py", "tests/site/test_axe.py"))
        return nodeid if apart else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors: tests in browsers wait a third of their time."""
    return min(8, os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Spread the tests over the processes."""
    return Together(config, log)
