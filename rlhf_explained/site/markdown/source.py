"""The `source` fence: parts of the package, as they stand in its files.

A line names a file and its parts. Of a Python file these are functions and methods, shown without
their docstrings; of a script they are the numbers of its headings, comments such as `// 4. Title`.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import tostring

from markdown import Markdown

from rlhf_explained.site.faults import element as fault
from rlhf_explained.site.faults import nearest

_PACKAGE = Path(__file__).parents[2]
_HEADING = re.compile(r"^ *// (\d+)\. ", re.M)
_COMMENT = {
    "javascript": re.compile(r"(?<![:\w])//.*(?:\n *//.*)*"),
    "python": re.compile(r"(?<!\S)# .*(?:\n *# .*)*"),
}


def fence(
    source: str, language: str, css_class: str, options: Any, md: Markdown, **rest: Any
) -> str:
    """What superfences calls for a fence.

    Returns:
        HTML: a block of code for each line of the fence.
    """
    try:
        return "".join(_block(line) for line in source.strip().splitlines())
    except ValueError as error:
        first = source.strip().split("\n")[0]
        return tostring(fault("div", f"source: {error}", re.escape(first)), encoding="unicode")


def _block(line: str) -> str:
    name, _, asked = (part.strip() for part in line.partition(":"))
    path = _PACKAGE / name
    if not path.is_file():
        raise ValueError(f"there is no file {name!r} in the package")
    known = parts(path)
    wanted = [part.strip() for part in asked.split(",")]
    for part in wanted:
        if part not in known:
            raise ValueError(f"{name} has no part {part!r}; {nearest(part, known)}")
    language = {".py": "python", ".js": "javascript"}[path.suffix]
    code = escape("\n\n".join(known[part] for part in wanted), quote=False)
    code = _COMMENT[language].sub(r'<span class="c1">\g<0></span>', code)
    return (
        f'<div class="language-{language} highlight source" data-search-exclude>'
        f'<span class="filename">{name}</span><pre><code>{code}\n</code></pre></div>'
    )


def parts(path: Path) -> dict[str, str]:
    """Find the parts of a file.

    Args:
        path: A Python file or a script.

    Returns:
        By name, or number: the code.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return dict(_definitions(ast.parse(text), text.splitlines()))
    starts = [*_HEADING.finditer(text)]
    ends = [*(start.start() for start in starts[1:]), len(text)]
    return {
        start[1]: textwrap.dedent(text[start.start() : end]).strip("\n")
        for start, end in zip(starts, ends, strict=True)
    }


def _definitions(
    parent: ast.Module | ast.ClassDef, lines: list[str], before: str = ""
) -> Iterator[tuple[str, str]]:
    """Functions and methods, without their docstrings."""
    for node in parent.body:
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node, lines, f"{before}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            kept = lines[node.lineno - 1 : node.end_lineno]
            if ast.get_docstring(node, clean=False) is not None:
                told = node.body[0]
                ends = (told.lineno, (told.end_lineno or told.lineno) + 1)
                first, last = (number - node.lineno for number in ends)
                del kept[first:last]
            yield f"{before}{node.name}", textwrap.dedent("\n".join(kept))
