"""Makes pytest run every snippet of the pages and docstrings, each as one test, through Sybil.

And fails a run that ends with fewer tests than were found: a green one has run them all.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
from sybil import Document, Example, Region, Sybil
from xdist.scheduler import LoadFileScheduling

from rlhf_explained.site.snippets.find import Snippet, find, pages
from rlhf_explained.site.snippets.run import results

ROOT = Path(__file__).resolve().parent
PAGES = {*pages(ROOT)}

# Tests go side by side; threads inside torch's operations would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")  # a page may show a figure; nobody looks at it here


class Pages(Sybil):
    """The pages below a folder; their code is run elsewhere, so modules are not imported here."""

    def should_parse(self, path: Path) -> bool:
        """Whether a file's snippets are tests."""
        return path in PAGES


def snippets(document: Document) -> Iterator[Region]:
    """Sybil's parser: what `find` finds, by character instead of by line."""
    starts = [0, *(match.end() for match in re.finditer("\n", document.text)), document.end + 1]
    for snippet in find(document.text, python=document.path.endswith(".py")):
        yield Region(starts[snippet.line], starts[snippet.end] - 1, snippet, check)


def check(example: Example) -> str | None:
    """Sybil's evaluator: the faults of a snippet, or nothing. A page runs as a whole, once."""
    snippet: Snippet = example.parsed
    if snippet.skip:
        raise SkipTest(snippet.skip)
    if not example.namespace:
        example.namespace.update((one.line, one) for one in results(Path(example.path), seed=1))
    return "\n".join(example.namespace[snippet.line].faults) or None


pytest_collect_file = Pages(parsers=[snippets], document_types={".py": Document}).pytest()
found: set[str] = set()
ran: set[str] = set()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is to be run."""
    found.update(item.nodeid for item in session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Note what is to be run, in the process that only hands it out."""
    found.update(ids)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what was run."""
    ran.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let no run be green that has lost a test, such as one whose report could not be made."""
    lost, config = sorted(found - ran), session.config
    is_whole = not hasattr(config, "workerinput") and not config.option.collectonly
    if exitstatus == 0 and lost and is_whole:
        print(f"\nnot run, though found: {', '.join(lost)}")
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


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
