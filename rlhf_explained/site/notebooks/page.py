"""A notebook as the Markdown of a page, of which the site's extension makes the same as of others.

Prose stands there as it is; code, and what it printed, in fences; what it drew in a fence that is
HTML already. What a page cannot show is a fault at the line of its cell.
"""

from __future__ import annotations

import base64
import html
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from rlhf_explained.disk import shown
from rlhf_explained.pipeline import Run
from rlhf_explained.site.faults import logger, nearest
from rlhf_explained.site.markdown.figure import notebook_caption, themed
from rlhf_explained.site.notebooks.execute import ANSI, Execution
from rlhf_explained.site.notebooks.read import tags
from rlhf_explained.site.notebooks.stored import is_stored, stored
from rlhf_explained.site.snippets.find import RUN, find

MARKS = ("tags", "alt", "markdown")
JUPYTEXT = ("region_name", "cell_marker", "lines_to_next_cell", "lines_to_end_of_cell_marker")
TAGS = ("install", "skip-execution", "solution", "raises-exception")
KINDS = ("text/html", "text/markdown", "image/svg+xml", "text/latex", "image/png", "image/jpeg")
CURE = 'begin with the cell `# %% tags=["install", "skip-execution"]` of 01_what_is_rlhf.py'
INSTALL = f"whoever downloads this has no rlhf_explained: {CURE}"
_FOLD = re.compile(r"(?ms)^<details>\s*<summary>(.*?)</summary>$(.*?)^</details>$")
_FIGURE = re.compile(r'(?s)<figure class="drawn" id="figure-([^"]+)">(<(?:svg|div) .*?)</figure>')
_ACTIVE = re.compile(r"(?i)<(?:script|style|iframe)\b|javascript:|\son[a-z]+=[\"']")
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}|\{'[^':]*'(?:, '[^':]*')+\}")  # or a set, in any order
_USES = re.compile(r"(?m)^(?:from|import) rlhf_explained")
_NO_MARK = re.compile(r"(?m)^(?:# ?)?% ?(?:\[|[a-z]+=|$)|^# ?% ")  # nearly a cell's
_ABSENT = re.compile(r"(?m)\{\{\s*\w+\s*:|^```(?:figure|samples|explore)")

Say = Callable[[int, str], None]  # reports a fault of a cell at one of its lines, -1: its marker


def markdown(execution: Execution, nb_path: str, **settings: Any) -> str:
    """Write a notebook as Markdown, in the place of mkdocs-jupyter's function that makes HTML.

    Args:
        execution: Gives it its outputs.
        nb_path: A py:percent file.
        **settings: Of mkdocs-jupyter; not needed.

    Returns:
        The page, which begins with its title even where the notebook begins with another cell, and
        offers the notebook below it.
    """
    path = Path(nb_path)
    notebook, failed = execution.outputs(path)
    lines = first_lines(path, notebook.cells)

    def say(number: int, line: int, what: str) -> None:
        logger.warning(f"{shown(path)}:{lines[number] + line}: {what}")

    if failed:
        number, line, what = failed.args
        say(number, line - 1, what)
    head, parts = "", []
    for solution, cells in itertools.groupby(enumerate(notebook.cells), _is_solution):
        texts = []
        for number, cell in cells:
            title = re.search(r"(?m)^# .*$", cell.source) if cell.cell_type == "markdown" else None
            if title and not head:
                head = title[0]
                cell.source = cell.source.replace(head, "", 1)
            texts.append(_cell(cell, partial(say, number), execution.run))
        text = "\n\n".join(texts)
        parts.append(_fold("solution", "Solution", text) if solution else text)
    if not head:
        say(0, 0, "this notebook has no title: begin with `# %% [markdown]` and `# # Its title`")
    code = [(n, cell) for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    uses = [(n, found) for n, cell in code if (found := _USES.search(cell.source))]
    if uses and not any("install" in tags(cell) for _, cell in code):
        say(uses[0][0], uses[0][1].string.count("\n", 0, uses[0][1].start()), INSTALL)
    install = f"%pip install --quiet {execution.wheel} "
    for number, cell in code:
        if "install" in tags(cell) and not (failed or f"{cell.source} ".startswith(install)):
            say(number, 0, f"this installs another package than the site's: {CURE}")
    name, wheel = f"{path.stem}.ipynb", Path(execution.wheel).name
    offer = (
        f'[Download this notebook]({name}){{ download="{name}" }} and '
        f'[the package it uses](../downloads/{wheel}){{ download="{wheel}" }} into one folder.'
    )
    origin = [stored(path).origin] if is_stored(notebook) and not failed else []
    return "\n\n".join([head, offer, *origin, *parts])


def _is_solution(numbered: tuple[int, NotebookNode]) -> bool:
    return "solution" in tags(numbered[1])


def first_lines(path: Path, cells: list[NotebookNode]) -> list[int]:
    """The line of each cell's first line in its file, from 1, whatever stands between cells."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    found, at = [], 0
    for cell in cells:
        first = cell.source.split("\n")[0]
        same = (n for n in range(at, len(lines)) if lines[n] in (first, f"# {first}", f"#{first}"))
        at = next(same, at) if first else at
        found.append(at + 1)
        at += cell.source.count("\n") + 1
    return found


def _fold(kind: str, title: str, text: str) -> str:
    return f'??? {kind} "{title}"\n\n{textwrap.indent(text.strip(), "    ")}'


def _fenced(text: str, kind: str) -> str:
    """Text in a fence that none of its lines ends."""
    marks = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
    return f"{marks}{kind}\n{text}\n{marks}"


def _cell(cell: NotebookNode, say: Say, run: Run) -> str:
    """A cell as Markdown."""
    for tag in {*tags(cell)} - {*TAGS}:
        say(-1, f"no page heeds the tag {tag!r}; {nearest(tag, TAGS)}")
    for key in {*cell.metadata} - {*MARKS, *JUPYTEXT}:
        word = cell.metadata.title if key == "title" else key  # what jupytext cannot read
        say(-1, f"no cell is marked {word!r}; {nearest(word.strip('[]'), MARKS)}")
    for mark in _NO_MARK.finditer(cell.source):
        say(cell.source.count("\n", 0, mark.start()), "a cell begins with `# %%`: write it so")
    if cell.cell_type == "code":
        return "\n\n".join([_fenced(cell.source, "python"), *_outputs(cell, say, run)])
    if cell.cell_type == "raw":
        say(-1, "no page shows a raw cell: make it Markdown")
    for fault in find(cell.source):
        is_code = fault.language in RUN
        say(fault.line, "nobody runs this fence: make it a cell" if is_code else fault.code)
    for word in _ABSENT.finditer(cell.source):
        why = f"{word[0]!r} means nothing in a download: let a cell print or draw it"
        say(cell.source.count("\n", 0, word.start()), why)
    if len(parts := re.split(r"(?m)^<details>", cell.source)) > cell.source.count("</details>") + 1:
        line = "<details>".join(parts[:-1]).count("\n")
        say(line, "nothing closes this <details>: write `</details>` on a line of its own below it")
        cell.source += "\n</details>"
    return _FOLD.sub(
        lambda it: _fold("words" if it[1] == "In words" else "note", *it.groups()), cell.source
    )


def _outputs(cell: NotebookNode, say: Say, run: Run) -> Iterator[str]:
    """What a cell printed and drew, as Markdown."""
    alt = cell.metadata.get("alt", "")
    shapes = [_shape(output, say) for output in cell.get("outputs", [])]
    images = [kind for kind, _ in shapes if kind.startswith("image/")]
    if images and (not alt or len(images) > 1):
        alt = alt and f"one alt text for {len(images)} images: draw each in a cell of its own"
        alt = alt or 'an image without alt text: write `# %% alt="…"` above its cell'
        say(-1, alt)
    for kind, some in itertools.groupby(shapes, lambda shape: shape[0]):
        texts = [text for _, text in some]
        if kind == "text/plain":
            text = "\n".join(text.strip("\n") for text in texts)
            if text.strip():
                yield _fenced(text, 'text title="Output"')
        elif kind in ("text/markdown", "text/latex"):
            yield from texts
        else:
            for text in texts:
                yield _fenced(_drawn(kind, text, alt, run), "cell-output")


def _shape(output: NotebookNode, say: Say) -> tuple[str, str]:
    """Kind and content of an output, in the richest form that a page can show."""
    data = output.get("data", {})
    if output.output_type == "stream":
        data = {"text/plain": output.text}
        if output.name == "stderr":
            *_, last = re.findall(r"(?m)^\S.*", ANSI.sub("", output.text)) or [""]
            say(0, f"this cell writes to standard error: {last}; mend it, or let it be silent")
    elif output.output_type == "error":
        data = {"text/plain": "\n".join(output.traceback)}
    kind = next((kind for kind in KINDS if kind in data), "text/plain")
    text = ANSI.sub("", data.get(kind, ""))
    strange = [name for name in data if name not in (*KINDS, "text/plain")]
    if strange and kind == "text/plain":
        say(0, f"no page can show {strange[0]}: let the cell print or draw it")
    elif found := (_ADDRESS if kind == "text/plain" else _ACTIVE).search(text):
        say(0, f"this output holds {found[0]!r}, which no page shows: print or draw what it means")
    return kind, text


def _drawn(kind: str, text: str, alt: str, run: Run) -> str:
    """HTML of an output that is no text."""
    if kind == "image/svg+xml":
        text = base64.b64encode(text.encode()).decode()
    if kind != "text/html":
        text = f'<img alt="{html.escape(alt)}" src="data:{kind};base64,{text.strip()}">'
    elif _FIGURE.search(text):
        return _FIGURE.sub(
            lambda it: (
                f'<figure class="drawn" id="figure-{it[1]}" data-search-exclude>'
                f'<div class="drawing">{themed(it[2])}</div>{notebook_caption(it[1], run)}</figure>'
            ),
            text,
        )
    is_drawing = "<svg" in text or "<img" in text
    # what no style sheet themes was drawn for white
    looks = "cell-output paper" if is_drawing and "var(--" not in text else "cell-output"
    return f'<div class="{looks}"{" data-search-exclude" * is_drawing}>{text}</div>'
