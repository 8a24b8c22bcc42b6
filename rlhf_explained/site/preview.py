"""Shows an edit at once: renders the edited pages alone, with what the last whole build knows.

What other pages say of an edited one (its heading in their links, its place in the search) comes
with the next whole build.
"""

from __future__ import annotations

import html
import importlib
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from rlhf_explained import figures, measured, parallel
from rlhf_explained.figures import cached, numbers
from rlhf_explained.measured import of_run, of_studies, text, verdicts
from rlhf_explained.site import faults
from rlhf_explained.site.publish import EDITION
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.site.snippets.find import find
from rlhf_explained.site.snippets.run import results

FIGURES = Path(figures.__file__).parent
# What this process knows of the values and of the figures: each reads those before it.
READ_ANEW = (text, verdicts, of_run, of_studies, measured, numbers, figures)
PATIENCE = 60  # seconds that a piece of a page's code may take


@dataclass(frozen=True)
class Whole:
    """What MkDocs knew at the end of a build: its own objects."""

    config: Any
    files: Any
    nav: Any
    env: Any


_last: Whole | None = None
_code: dict[Path, list[tuple[str, str]]] = {}  # the snippets that were run last, by page


def remember(config: Any, files: Any, nav: Any, env: Any) -> None:
    """Keep what a whole build knows; a build that fails later leaves it too."""
    global _last
    _last = Whole(config, files, nav, env)


def get_ready(folder: Path) -> None:
    """Be ready for edits, and for processes that run snippets: they need not import torch.

    Args:
        folder: Where the pages of the last whole build lie now.
    """
    for file in _last.files if _last else ():
        file.abs_dest_path = str(folder / file.dest_uri)
        if file.page and (path := Path(file.abs_src_path)).suffix == ".md":
            _code.setdefault(path, _snippets(path))
    forkserver.ensure_running()


def _snippets(path: Path) -> list[tuple[str, str]]:
    return [(found.code, found.want) for found in find(path.read_text(encoding="utf-8"))]


def show(edited: Collection[Path]) -> bool:
    """Build what an edit changes first of all.

    Args:
        edited: The files; there may be new ones among them, and deleted ones.

    Returns:
        Whether that could be done: not before a whole build, nor for files that it did not know or
        that concern every page.
    """
    known = _last.files if _last else ()
    files = {Path(file.abs_src_path): file for file in known if file.abs_src_path}
    drawn = {path for path in edited if path.parent == FIGURES and path.name != "__init__.py"}
    if not edited or not all(path.is_file() and path in files for path in {*edited} - drawn):
        return False
    affected = [*edited, *(page for page in files if drawn and _draws(page, drawn))]
    chosen = [files[path] for path in dict.fromkeys(affected) if path in files]
    if any(_takes_all(file) for file in chosen):
        return False
    if drawn:
        read_anew()
        parallel.together(cached.jobs(current_run()))
    for file in chosen:
        _render(file) if file.page else file.copy_file()
    return True


def _draws(page: Path, modules: Collection[Path]) -> bool:
    """Whether a page shows a figure whose look one of these modules decides."""
    if page.suffix != ".md":
        return False
    named = re.findall(r"(?m)^[ >]*`{3,} *figure\n[ >]*(\S+)", page.read_text(encoding="utf-8"))
    return any({*figures.sources(name)} & {*modules} for name in named if name in figures.FIGURES)


def _takes_all(file: Any) -> bool:
    """Whether a page is made of others, or of docstrings, which only a whole build collects."""
    if not file.page:
        return False
    text = Path(file.abs_src_path).read_text(encoding="utf-8")
    return file.src_uri == EDITION or "\n::: " in text


def is_read_anew(path: Path) -> bool:
    """Whether an edit of this file is seen without starting this process anew."""
    if path in {Path(str(module.__file__)) for module in READ_ANEW}:
        return True
    known = {getattr(module, "__file__", None) for module in sys.modules.values()}
    return path.parent == FIGURES and str(path) not in known


def read_anew() -> None:
    """Read what a contributor may have edited since the last build."""
    for module in READ_ANEW:
        importlib.reload(module)


def _render(file: Any) -> None:
    """Render a page, beginning with what is wrong with its code."""
    from mkdocs.commands.build import _build_page, _populate_page

    assert _last
    config, files = _last.config, _last.files
    file.page.meta = {}
    _populate_page(file.page, config, files)
    config.plugins["autorefs"].on_env(_last.env, config=config, files=[file])
    file.page.content = "".join(_wrong(Path(file.abs_src_path))) + file.page.content
    _build_page(file.page, config, files.documentation_pages(), _last.nav, _last.env)


def _wrong(path: Path) -> Iterator[str]:
    """Run a page's code if it was edited; say what does not hold, and go on saying so."""
    if path.suffix != ".md" or (code := _snippets(path)) == _code.get(path):
        return
    ran = results(path, seed=1, patience=PATIENCE)
    found = [fault for result in ran for fault in result.faults]
    if not found:
        _code[path] = code
    for fault in found:
        faults.logger.warning(fault)
        yield f'<pre class="fault">{html.escape(fault)}</pre>\n'
