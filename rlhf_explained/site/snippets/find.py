r"""Finds the code that pages and docstrings show.

A Markdown page holds `python` fences, each with an `Output` block right under it if it prints
anything, and `pycon` fences; docstrings hold the same, and plain `>>>` examples. A comment
`<!-- skip: next "reason" -->` right above a fence lets it be. What is only shown has a language
that says so, and a box drawing among it has a straight frame.

Files are read by line, since that is what survives fences that are indented in lists, admonitions
and hidden answers.
"""

import ast
import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from rlhf_explained.site.markdown.diagrams import BOX, ragged

RUN = ("python", "pycon")
SHOWN = (
    *("text", "figure", "samples", "sh", "bash", "console", "json", "yaml", "toml", "css", "html"),
    "markdown",
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
    output: tuple[int, int] | None = None
    """The lines inside the Output block under it."""
    want: str = ""
    """What the Output block says."""


def is_page(path: Path, root: Path) -> bool:
    """Whether the code in a file is run: pages, the top folder's Markdown, the package."""
    if not path.is_relative_to(root):
        return False
    folders = path.relative_to(root).parts[:-1]
    if path.suffix == ".md":
        return not folders or folders[0] == "docs"
    return path.suffix == ".py" and folders[:1] == ("rlhf_explained",)


def pages(root: Path) -> list[Path]:
    """All files whose code is run."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("rlhf_explained/**/*.py")]
    return sorted(path for path in found if is_page(path, root))


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
        return _find(lines, 0, len(lines), plain_doctests=False)
    found: list[Snippet] = []
    for node in ast.walk(ast.parse(text)):
        # Not only the first statement of a body: a string under an attribute documents it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            constant = node.value
            if isinstance(constant.value, str) and constant.end_lineno:
                masked = _without_quotes(lines, constant)
                found += _find(
                    masked, constant.lineno - 1, constant.end_lineno, plain_doctests=True
                )
    return sorted(found, key=lambda snippet: snippet.line)


def faults_in_notebook(text: str) -> list[Snippet]:
    """Find what is malformed in the prose of a notebook, and whether it lacks its install cell.

    Args:
        text: A py:percent file.

    Returns:
        The faults by line.
    """
    prose, is_prose = [], False
    for line in text.split("\n"):
        if line.startswith("# %%"):
            is_prose = "[markdown]" in line
        inside = is_prose and line.startswith("#") and not line.startswith("# %%")
        prose.append(re.sub(r"^# ?", "", line) if inside else "")
    found = find("\n".join(prose))
    unrun = "nobody runs this fence: make it a cell"
    found = [_fault(one.line, unrun) if one.language in RUN else one for one in found]
    uses = re.search(r"(?m)^(?:from|import) rlhf_explained", text)
    if uses and not re.search(r'(?m)^# %% tags=\["install", "skip-execution"\]\n# %pip ', text):
        what = (
            "whoever downloads this has no rlhf_explained: begin with the cell "
            '`# %% tags=["install", "skip-execution"]` of 01_what_is_rlhf.py'
        )
        found.append(_fault(text.count("\n", 0, uses.start()), what))
    return found


def _without_quotes(lines: list[str], node: ast.Constant) -> list[str]:
    """Leave only the text of a docstring on its lines. Columns of `ast` count UTF-8 bytes."""
    masked = list(lines)
    assert node.end_lineno
    last = node.end_lineno - 1
    ending = masked[last].encode()[: node.end_col_offset].decode()
    masked[last] = re.sub("(\"\"\"|'''|\"|')$", "", ending)
    first = node.lineno - 1
    before = masked[first].encode()[: node.col_offset].decode()
    after = re.sub("^\\w*(\"\"\"|'''|\"|')", "", masked[first][len(before) :])
    masked[first] = before + after if after else ""
    return masked


def _find(lines: list[str], at: int, stop: int, *, plain_doctests: bool) -> list[Snippet]:
    found: list[Snippet] = []
    skip: tuple[int, str] | None = None  # the line of a skip comment, and its reason
    while at < stop:
        line = lines[at]
        snippet = _fence(lines, at, stop)
        if snippet is None and plain_doctests and line.lstrip().startswith(">>> "):
            snippet = _doctests(lines, at, stop)
        comment = SKIP.fullmatch(line) if snippet is None else None
        if skip and (comment or (line.strip() and not (snippet and snippet.language in RUN))):
            found.append(_fault(skip[0], STRAY))
            skip = None
        if snippet:
            if snippet.language in RUN:
                snippet.skip, skip = (skip[1] if skip else None), None
                found.append(snippet)
            elif snippet.language == "fault":
                found.append(snippet)
            elif OUTPUT.search(line):
                found += _attach(snippet, found[-1] if found else None, lines)
            else:
                found += _only_shown(snippet, line)
            at = snippet.end
            continue
        if comment:
            reason = SKIP_NEXT.fullmatch(comment["rest"])
            if reason:
                skip = (at, reason["reason"])
            else:
                what = 'a skip comment has to read <!-- skip: next "reason" -->'
                found.append(_fault(at, what))
        elif "<!--" in line and "-->" not in line:  # what is commented out is not shown
            while at + 1 < stop and "-->" not in lines[at]:
                at += 1
        at += 1
    if skip:
        found.append(_fault(skip[0], STRAY))
    return sorted(found, key=lambda snippet: snippet.line)


def _attach(output: Snippet, above: Snippet | None, lines: list[str]) -> list[Snippet]:
    """Give an Output block to the python fence right above it."""
    if (
        above
        and above.language == "python"
        and above.output is None
        and above.prefix == output.prefix
        and not any(line.strip(" \t>") for line in lines[above.end : output.line])
    ):
        above.output, above.want = (output.first, output.end - 1), output.code
        above.end = output.end
        return []
    what = "this Output block does not stand right under a python fence: move it there"
    return [_fault(output.line, what, output.end)]


def _only_shown(fence: Snippet, opening: str) -> list[Snippet]:
    """What is wrong with a fence that nobody runs."""
    if fence.language not in SHOWN:
        what = fence.language or "a fence without a language"
        known = ", ".join((*RUN, *SHOWN))
        return [_fault(fence.line, f"nobody knows whether to run {what}: name one of {known}")]
    if re.search(r"(?m)^\s*>>> ", fence.code):
        return [_fault(fence.line, "nobody runs the `>>>` in this fence: make it pycon")]
    if fence.language == "text" and "title=" not in opening and BOX.search(fence.code):
        wrong = ragged(fence.code)
        return [_fault(fence.first + line, f"{what}: mend it with blanks") for line, what in wrong]
    return []


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
