r"""Finds the code that pages and docstrings show.

A Markdown page holds `python` fences, each with an `Output` block right under it if it prints
anything, and `pycon` fences; docstrings hold the same, and plain `>>>` examples. A comment
`<!-- skip: next "reason" -->` right above a fence lets it be. What is only shown has a language
that says so, and a box drawing among it has a straight frame.

Files are read by line, since that is what survives fences that are indented in lists, admonitions
and hidden answers. (Sybil's own lexer of Markdown also finds fences within fences and comments.)
"""

import ast
import contextlib
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlhf_explained.site.markdown.diagrams import BOX, ragged

RUN = ("python", "pycon")
SHOWN = (
    *("text", "figure", "samples", "explore", "sh", "bash", "console", "json", "yaml", "toml"),
    *("css", "html", "markdown", "source"),
)
FENCE = re.compile(
    r"(?P<prefix>[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*)(?P<marks>`{3,}|~{3,})(?P<info>.*)"
)
LANGUAGE = re.compile(r"[ \t]*\{?[ \t]*\.?(?P<language>[\w+-]*)")
SAME_LANGUAGE = {"py": "python", "python3": "python", "py3": "python", "doctest": "pycon"}
OUTPUT = re.compile(r'[ \t]*\{?[ \t]*\.?text\b.*\btitle="Output"')
SKIP = re.compile(r"\s*<!--\s*skip\b(?P<rest>.*?)-->\s*")
STRAY = "this skip comment is not right above a python fence: move it there"
SKIP_NEXT = re.compile(r'\s*:\s*next\s+"(?P<reason>[^"]+)"\s*')
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Letters that move, hide or reorder others."""


@dataclass
class Snippet:
    """A piece of a page that has to hold when it is run.

    Lines are counted from 0, and ranges exclude their end.
    """

    line: int
    """The opening fence, or the first `>>>`."""
    language: str
    """`python`, `pycon`, or `fault` for what can never hold."""
    prefix: str
    """What stands before each line: an indentation, or a quotation's marks."""
    code: str
    """The code or the doctests, without the prefix; for a fault, what is wrong."""
    first: int
    """The first line of the code."""
    end: int
    """The line after the closing fence, or after that of the Output block."""
    skip: str | None = None
    """Why it is not run."""
    output: int | None = None
    """The line where the Output block under it begins."""
    want: str = ""
    """What the Output block says."""


def pages(root: Path) -> list[Path]:
    """All files whose code is run: pages, the top folder's Markdown, the package."""
    kinds = ("*.md", "docs/**/*.md", "rlhf_explained/**/*.py")
    return sorted(path for kind in kinds for path in root.glob(kind))


def page_at(root: Path, name: str, *, notebooks: bool) -> Path:
    """Find the page that somebody names on the command line.

    Args:
        root: The checkout.
        name: Its path, from there or from the working folder.
        notebooks: Whether it may be a notebook.

    Returns:
        The file.

    Raises:
        ValueError: If it is no page.
    """
    files = [*pages(root), *(root.glob("docs/notebooks/*.py") if notebooks else ())]
    for path in (root / name, Path(name).absolute()):
        if path.resolve() in files:
            return path.resolve()
    known = [path.relative_to(root).as_posix() for path in files]
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    what = "is no page" if (root / name).exists() else "does not exist"
    kinds = f"docs/{', a notebook' if notebooks else ''}, a module of rlhf_explained/ or README.md"
    raise ValueError(f"PAGE={name} {what}: {guess}it is one of {kinds}")


def is_notebook(path: Path, root: Path) -> bool:
    """Whether a file is a notebook of the site, whose code stands in cells."""
    return path.suffix == ".py" and path.is_relative_to(root / "docs")


def find(text: str, *, python: bool = False) -> list[Snippet]:
    """Find the snippets of a Markdown page, or those in the docstrings of a Python file.

    Args:
        text: The whole file.
        python: Whether it is Python.

    Returns:
        The snippets by line, among them what is malformed, as faults.
    """
    lines = text.split("\n")
    if not python:
        return _sorted(_find(lines, 0, len(lines), docstring=False))
    found: list[Snippet] = []
    for node in ast.walk(ast.parse(text)):
        # Not only the first statement of a body: a string under an attribute documents it.
        constant = node.value if isinstance(node, ast.Expr) else None
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
            end = constant.end_lineno or constant.lineno
            masked = _without_quotes(lines, constant, end - 1)
            found += _find(masked, constant.lineno - 1, end, docstring=True)
    return _sorted(found)


def _sorted(found: list[Snippet]) -> list[Snippet]:
    return sorted(found, key=lambda snippet: snippet.line)


def _without_quotes(lines: list[str], node: ast.Constant, last: int) -> list[str]:
    """Leave only the text of a docstring on its lines. Columns of `ast` count UTF-8 bytes."""
    masked = list(lines)
    ending = masked[last].encode()[: node.end_col_offset].decode()
    masked[last] = re.sub("(\"\"\"|'''|\"|')$", "", ending)
    first = node.lineno - 1
    before = masked[first].encode()[: node.col_offset].decode()
    after = re.sub("^\\w*(\"\"\"|'''|\"|')", "", masked[first][len(before) :])
    masked[first] = before + after if after else ""
    return masked


def _find(lines: list[str], at: int, stop: int, *, docstring: bool) -> list[Snippet]:
    found: list[Snippet] = []
    skip: tuple[int, str] | None = None  # the line of a skip comment, and its reason
    while at < stop:
        line = lines[at]
        snippet = _fence(lines, at, stop)
        if snippet is None and docstring and line.lstrip().startswith(">>> "):
            snippet = _doctests(lines, at, stop)
        comment = SKIP.fullmatch(line) if snippet is None else None
        if skip and (comment or (line.strip() and not (snippet and snippet.language in RUN))):
            found.append(_fault(skip[0], STRAY))
            skip = None
        if snippet and snippet.language in RUN:
            snippet.skip, skip = (skip[1] if skip else None), None
            found.append(snippet)
        elif snippet and snippet.language == "fault":
            found.append(snippet)
        elif snippet and OUTPUT.search(line):
            found += _attach(snippet, found[-1] if found else None, lines)
        elif snippet:
            found += (_fault(at, what) for at, what in _only_shown(snippet, line))
        elif comment:
            if reason := SKIP_NEXT.fullmatch(comment["rest"]):
                skip = (at, reason["reason"])
            else:
                what = 'a skip comment has to read <!-- skip: next "reason" -->'
                found.append(_fault(at, what))
        elif "<!--" in line and "-->" not in line:  # what is commented out is not shown
            end = next((below for below in range(at, stop) if "-->" in lines[below]), None)
            if end is None:
                found.append(_fault(at, "this comment never ends: write `-->` behind it"))
            at = stop if end is None else end
        elif unrun := re.match(r"\s*(>>>|<pre\b)", line):
            cure = "a blank behind it" if docstring and unrun[1] == ">>>" else "a fence around it"
            found.append(_fault(at, f"nobody runs this `{unrun[1]}`: write {cure}"))
        at = snippet.end if snippet else at + 1
    if skip:
        found.append(_fault(skip[0], STRAY))
    return found


def _attach(output: Snippet, above: Snippet | None, lines: list[str]) -> list[Snippet]:
    """Give an Output block to the python fence right above it."""
    if (
        above
        and above.language == "python"
        and above.output is None
        and above.prefix == output.prefix
        and not any(line.strip(" \t>") for line in lines[above.end : output.line])
    ):
        above.output, above.want, above.end = output.line, output.code, output.end
        return []
    what = "this Output block does not stand right under a python fence: move it there"
    return [_fault(output.line, what, output.end)]


def _only_shown(fence: Snippet, opening: str) -> Iterator[tuple[int, str]]:
    """The lines of a fence that nobody runs with what is wrong there."""
    if fence.language not in SHOWN:
        what = fence.language or "a fence without a language"
        known = ", ".join((*RUN, *SHOWN))
        yield fence.line, f"nobody knows whether to run {what}: name one of {known}"
    elif re.search(r"(?m)^\s*>>> ", fence.code):
        yield fence.line, "nobody runs the `>>>` in this fence: make it pycon"
    elif _is_python(fence.code):
        yield fence.line, "nobody runs the Python in this fence: make it python"
    elif fence.language == "json":
        try:
            json.loads(fence.code)
        except ValueError as error:
            yield fence.line, f"this is no JSON ({error}): mend it, or name what it is"
    elif fence.language == "text" and "title=" not in opening and BOX.search(fence.code):
        for line, what in ragged(fence.code):
            yield fence.first + line, f"{what}: mend it with blanks"


def _is_python(code: str) -> bool:
    """Whether something that is only shown imports, defines or prints."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(code)):
            called = node.func if isinstance(node, ast.Call) else None
            prints = isinstance(called, ast.Name) and called.id == "print"
            if prints or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef):
                return True
    return False


def _fence(lines: list[str], at: int, stop: int) -> Snippet | None:
    """Read the fence that opens at a line, if one does, whatever its language."""
    opening = FENCE.fullmatch(lines[at])
    if opening is None or ("`" in opening["marks"] and "`" in opening["info"]):
        return None
    prefix = re.sub(r"[^ \t>]", " ", opening["prefix"])  # a list's mark stands only once
    end = at + 1
    while end < stop and lines[end].rstrip() != prefix + opening["marks"]:
        end += 1
    if end == stop:
        what = f"no line closes this fence with {prefix + opening['marks']!r}: write one below it"
        return _fault(at, what, stop)
    code = _without_prefix(lines[at + 1 : end], prefix)
    if code is None:
        return _fault(at, "a line inside this fence is indented less than it: indent it", end + 1)
    if unseen := UNSEEN.search(code):
        line = at + 1 + code.count("\n", 0, unseen.start())
        return _fault(line, f"nobody sees {unseen[0]!a} here: take it out", end + 1)
    language = LANGUAGE.match(opening["info"])
    name = language["language"].lower() if language else ""
    name = SAME_LANGUAGE.get(name, name)
    if name == "python" and code.lstrip().startswith(">>>"):
        name = "pycon"
    return Snippet(at, name, prefix, code, at + 1, end + 1)


def _doctests(lines: list[str], at: int, stop: int) -> Snippet:
    """Read plain examples up to the next empty line."""
    end = at
    while end < stop and lines[end].strip():
        end += 1
    prefix = lines[at][: lines[at].index(">>>")]
    code = _without_prefix(lines[at:end], prefix)
    if code is None:
        return _fault(at, "a line here is indented less than its `>>>`: indent it", end)
    return Snippet(at, "pycon", prefix, code, at, end)


def _fault(line: int, what: str, end: int | None = None) -> Snippet:
    return Snippet(line, "fault", "", what, line, line + 1 if end is None else end)


def _without_prefix(lines: list[str], prefix: str) -> str | None:
    """Strip the prefix from each line; None if a line does not have it."""
    stripped = []
    for line in lines:
        if line.startswith(prefix):
            stripped.append(line[len(prefix) :])
        elif line.strip() in ("", prefix.strip()):
            stripped.append("")
        else:
            return None
    return "".join(f"{line}\n" for line in stripped)
