"""Renders edited pages alone, with what MkDocs knew at the end of the last whole build.

The process in which that happens ends afterwards: nothing that is read anew or changed here is
there at the next edit. What other pages say of an edited one (its heading in their links, its place
in the search) comes with the next whole build.
"""

from __future__ import annotations

import html
import importlib
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_explained import figures, measured, memo, parallel
from rlhf_explained.figures import cached
from rlhf_explained.site import faults
from rlhf_explained.site.publish import EDITION
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.site.snippets.find import find
from rlhf_explained.site.snippets.run import results

FIGURES = Path(figures.__file__).parent
PATIENCE = 60  # seconds that a piece of a page's code may take


@dataclass(frozen=True)
class Whole:
    """What MkDocs knows at the end of a whole build: its own objects."""

    config: Any
    files: Any
    nav: Any
    env: Any


last: Whole | None = None
_code: dict[Path, list[tuple[str, str]]] = {}  # each page's snippets when all was built


def remember(config: Any, files: Any, nav: Any, env: Any) -> None:
    """Keep what a whole build knows."""
    global last
    last = Whole(config, files, nav, env)


def get_ready() -> None:
    """Note the code of all pages: it is run when it is another."""
    for file in last.files if last else ():
        if file.page and (path := Path(file.abs_src_path)).suffix == ".md":
            _code[path] = _snippets(path)


def _snippets(path: Path) -> list[tuple[str, str]]:
    return [(found.code, found.want) for found in find(path.read_text(encoding="utf-8"))]


def show(edited: Collection[Path], wrong: Iterable[Path], folder: Path) -> set[Path] | None:
    """Render what an edit changes first of all.

    Args:
        edited: The files; there may be new ones among them, and deleted ones.
        wrong: Pages with code that did not hold when it was run last.
        folder: Where the site lies.

    Returns:
        The pages with code that does not hold now; None if the edit needs a whole build: it
        concerns every page, or files that the last one did not know.
    """
    known = (
        {Path(file.abs_src_path): file for file in last.files if file.abs_src_path} if last else {}
    )
    drawn = {path for path in edited if path.is_relative_to(FIGURES)}
    if not edited or not all(path in known and path.is_file() for path in {*edited} - drawn):
        return None
    affected = {*edited, *(page for page in known if drawn and _draws(page, drawn))} & known.keys()
    if not affected or any(_takes_all(known[path]) for path in affected):
        return None
    if drawn:
        read_anew(drawn)
        parallel.together(cached.jobs(current_run()))
    still_wrong = {*wrong}
    for path in affected:
        file = known[path]
        file.abs_dest_path = str(folder / file.dest_uri)
        if not file.page:
            file.copy_file()
            continue
        found = list(_code_faults(path, run=path in still_wrong))
        still_wrong = still_wrong | {path} if found else still_wrong - {path}
        _render(file, found)
    return still_wrong


def _draws(page: Path, modules: Collection[Path]) -> bool:
    """Whether a page shows a figure whose look one of these modules decides."""
    if page.suffix != ".md":
        return False
    named = re.findall(r"(?m)^[ >]*`{3,} *figure\n[ >]*(\S+)", page.read_text(encoding="utf-8"))
    edited = {module.resolve() for module in modules}
    return any(figures.FIGURES[name].sources & edited for name in named if name in figures.FIGURES)


def _takes_all(file: Any) -> bool:
    """Whether a page is made of others, or of docstrings, which only a whole build collects."""
    if not file.page:
        return False
    text = Path(file.abs_src_path).read_text(encoding="utf-8")
    return file.src_uri == EDITION or "\n::: " in text


def read_anew(edited: Collection[Path]) -> None:
    """Import again what was edited in figures and values, and what is made of it.

    Args:
        edited: Python files.
    """
    changed = {path.resolve() for path in edited}
    rooms = (figures.__name__, measured.__name__)
    sources = {
        module: memo.sources_of(Path(str(module.__file__)), ("figures", "measured"))
        for name, module in sys.modules.items()
        if name.startswith(rooms)
    }
    for module in sorted(sources, key=lambda module: len(sources[module])):  # what is used, first
        if sources[module] & changed:
            importlib.reload(module)


def _render(file: Any, wrong: Iterable[str]) -> None:
    """Render a page, beginning with what is wrong with its code."""
    from mkdocs.commands.build import _build_page, _populate_page

    assert last
    file.page.meta = {}
    _populate_page(file.page, last.config, last.files)
    last.config.plugins["autorefs"].on_env(last.env, config=last.config, files=[file])
    told = "".join(f'<pre class="fault">{html.escape(fault)}</pre>\n' for fault in wrong)
    file.page.content = told + file.page.content
    _build_page(file.page, last.config, last.files.documentation_pages(), last.nav, last.env)


def _code_faults(path: Path, *, run: bool) -> Iterator[str]:
    """Run a page's code if it was edited or is to be run; say what does not hold."""
    if path.suffix != ".md" or (not run and _snippets(path) == _code.get(path)):
        return
    for result in results(path, seed=1, patience=PATIENCE, start="fork"):
        for fault in result.faults:
            faults.logger.warning(fault)
            yield fault
