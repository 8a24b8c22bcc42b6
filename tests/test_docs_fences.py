"""No code and no diagram of a page escapes the checks.

`snippets.find` reads pages by line; here markdown-it, a CommonMark parser, reads them again. What
one of them takes for code that runs and the other does not is an error.
"""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.admon import admon_plugin

from rlhf_explained.site.markdown.diagrams import ragged
from rlhf_explained.site.snippets.find import SHOWN, find, pages

ROOT = Path(__file__).resolve().parent.parent
MARKDOWN = [path for path in pages(ROOT) if path.suffix == ".md"]
RUN = {"python", "py", "pycon"}


@dataclass(frozen=True)
class Fence:
    """A fence as CommonMark sees it; lines count from 1."""

    line: int
    language: str
    attributes: str
    content: str


def fences(text: str, start: int = 0) -> list[Fence]:
    """All fences of a page, those in lists, quotations, admonitions and hidden answers too."""
    found = []
    # MkDocs hides answers in `???` and makes tabs of `===`; to CommonMark both are admonitions.
    text = re.sub(r"(?m)^([ >]*)===(?=[!+]* \")", r"\g<1>!!!", text)
    for token in MarkdownIt("commonmark").use(admon_plugin).parse(text):
        line = start + (token.map[0] if token.map else 0)
        if token.type == "fence":
            info = re.match(r"\{?\s*\.?([\w+-]*)(.*)", token.info)
            assert info
            found.append(Fence(line + 1, info[1].lower(), info[2], token.content))
        elif token.type == "code_block":
            inside = fences(textwrap.dedent(token.content), line)
            found += inside or [Fence(line + 1, "an indented block", "", token.content)]
    return found


def escaped(text: str, name: str) -> list[str]:
    """Say of each fence that looks like Python whether `find` leaves it out, with file and line."""
    taken = {snippet.line + 1: snippet for snippet in find(text)}
    faults = []
    for fence in fences(text):
        place = f"{name}:{fence.line}"
        snippet = taken.pop(fence.line, None)
        runs = snippet is not None and snippet.language in RUN
        if fence.language in RUN and not runs:
            faults.append(f"{place}: nobody runs this {fence.language} fence")
        elif runs and snippet and snippet.code.rstrip() != fence.content.rstrip():
            faults.append(f"{place}: the code that is run is not the code that is shown")
        elif fence.language not in RUN | {*SHOWN}:
            what = fence.language or "a fence without a language"
            faults.append(f"{place}: nobody knows whether to run {what}: name a known language")
        elif not runs and re.search(r"(?m)^\s*>>> ", fence.content):
            faults.append(f"{place}: nobody runs the `>>>` in this fence: make it pycon")
    for line, snippet in taken.items():
        if snippet.language in RUN:
            faults.append(f"{name}:{line}: this code is run, but the page does not show it")
    return faults


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_fence_is_run_or_skipped_with_a_reason(path: Path) -> None:
    faults = escaped(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    assert not faults, "\n".join(faults)


def test_there_are_pages_to_check() -> None:
    assert len(MARKDOWN) > 10
    assert sum(len(fences(path.read_text(encoding="utf-8"))) for path in MARKDOWN) > 30


PLANTED = {
    "no reason": ("<!-- skip: next -->\n\n```python\n1\n```\n", None),
    "typo": ("text\n\n```pyhton\n1\n```\n", "page.md:3: nobody knows whether to run pyhton"),
    "no language": ("```\n1\n```\n", "page.md:1: nobody knows whether to run a fence without"),
    "ipython": ("~~~ipython\n1\n~~~\n", "page.md:1: nobody knows whether to run ipython"),
    "doctest in text": ("```text\n>>> 1\n```\n", "page.md:1: nobody runs the `>>>`"),
    "indented code": ("a\n\n    x = 1\n", "page.md:3: nobody knows whether to run an indented"),
    "in a comment": ("<!--\n```python\n1\n```\n-->\n", None),
    "in another fence": ("````markdown\n```python\n1\n```\n````\n", None),
    "closed elsewhere": (
        "- a\n\n    ```python\n    1\n  ```\n\nb\n",
        "page.md:3: nobody runs this python fence",
    ),
}


@pytest.mark.parametrize(("text", "fault"), PLANTED.values(), ids=PLANTED)
def test_the_two_parsers_disagree_where_they_should(text: str, fault: str | None) -> None:
    found = escaped(text, "page.md")
    assert [line[: len(fault or "")] for line in found] == ([fault] if fault else [])


CONTAINERS = {
    "plain": "",
    "hidden answer": '??? question "q"\n\n',
    "open answer": '???+ note "q"\n\n',
    "admonition": "!!! warning\n\n",
    "tab": '=== "a"\n\n',
    "numbered list": "1.  a\n\n",
    "list": "- a\n\n",
    "answer in a list": '- a\n\n    ??? tip "b"\n\n',
}
OPENINGS = [
    "```python",
    "```py",
    '```python title="a" hl_lines="1"',
    "``` python",
    "```{.python .x}",
    "```Python",
    "````python",
    "~~~python",
    "```pycon",
]


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_both_parsers_see_the_same_code(container: str, opening: str) -> None:
    marks = re.match(r"[`~]+", opening)
    assert marks
    depth = 8 if "    ???" in container else 4 if container else 0
    block = f"{opening}\n>>> a = [\n...     1]\n\n>>> a\n[1]\n{marks[0]}\n"
    text = container + textwrap.indent(block, " " * depth) + "\nend\n"
    (snippet,) = find(text)
    (fence,) = fences(text)
    assert snippet.code == fence.content
    assert snippet.line + 1 == fence.line
    assert escaped(text, "page.md") == []


SAID = {  # by `find` alone, wherever CommonMark sees no fence
    ">>> 1 / 0\n": "page.md:1: nobody runs this `>>>`: write a fence around it",
    "a\n\n- >>>f()\n  >>>f()\n": "page.md:4: nobody runs this `>>>`: write a fence around it",
    "a\n<pre><code>f()</code></pre>\n": "page.md:2: nobody runs this `<pre`: write a fence around",
    "a\n\n<!-- TODO\n\n```python\n1\n```\n": "page.md:3: this comment never ends: write `-->`",
    '```json\n{"a": 1,}\n```\n': "page.md:1: this is no JSON (",
    "```json\nprint(f(1))\n```\n": "page.md:1: nobody runs the Python in this fence: make it",
    "```text\nimport math\n\nx = 1\n```\n": "page.md:1: nobody runs the Python in this fence",
    "```sh\ndef f():\n    return 1\n```\n": "page.md:1: nobody runs the Python in this fence",
    "```python\na\nb = '\u202e'\n```\n": r"page.md:3: nobody sees '\u202e' here: take it out",
    "```text\nmake site\nx = 1\n```\n": "",
    '```json\n{"a": [1, null]}\n```\n': "",
    "<!-- >>> 1 -->\n": "",
}


@pytest.mark.parametrize(("text", "fault"), SAID.items(), ids=list(SAID))
def test_what_looks_like_code_and_is_not_run_is_a_fault(text: str, fault: str) -> None:
    found = [f"page.md:{one.line + 1}: {one.code}" for one in find(text)]
    assert [one[: len(fault)] for one in found] == ([fault] if fault else [])


def test_a_prompt_without_a_blank_in_a_docstring_is_a_fault() -> None:
    (found,) = find('"""A.\n\n>>>f()\n"""\n', python=True)
    assert (found.line, found.code) == (2, "nobody runs this `>>>`: write a blank behind it")


# --- diagrams ----------------------------------------------------------------------------------


def ragged_in(text: str) -> list[tuple[int, str]]:
    """The faults of all diagrams of a page: line from 1, and what is wrong."""
    found = find(text)
    assert all(snippet.language == "fault" for snippet in found)
    return [(snippet.line + 1, snippet.code) for snippet in found]


def test_all_diagrams_of_the_lesson_are_measured() -> None:
    texts = [path.read_text(encoding="utf-8") for path in MARKDOWN]
    boxes = [fence for text in texts for fence in fences(text) if fence.content.startswith("┌")]
    assert len(boxes) >= 7


DIAGRAM = """\
┌──────────┐
│ ┌──────┐ │
│ │ β ≠ ▶│ │
│ └──┬───┘ │
│    ▼     │
└──────────┘
"""


def test_a_straight_diagram_passes() -> None:
    assert ragged(DIAGRAM) == []
    assert ragged(textwrap.indent(DIAGRAM, "    ")) == []
    assert ragged("┌────┐\n│漢字│\n│e\u0301   │\n└────┘\n") == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("▼     │", "▼    │", 4),
        ("▼     │", "▼      │", 4),
        ("▼     │", "▼      ", 4),
        ("β ≠ ▶│", "β ≠ ▶ │", 2),
        ("│ │ β ≠ ▶│ │", "│ │ β ≠▶│  │", 2),
        ("│ └──┬───┘ │", "│ └──┬──┘  │", 3),
        ("└──────────┘", "└─────────┘", 5),
        ("β", "漢", 2),
        ("▼     │", "\t│", 4),
    ],
)
def test_a_ragged_diagram_is_caught_at_its_line(old: str, new: str, line: int) -> None:
    assert line in [at for at, _ in ragged(DIAGRAM.replace(old, new))]
    page = f"a\n\n```text\n{DIAGRAM.replace(old, new)}```\n"
    assert line + 4 in [at for at, _ in ragged_in(page)]


def test_a_ragged_diagram_is_caught_in_a_hidden_answer() -> None:
    bad = DIAGRAM.replace("▼     │", "▼    │")
    hidden = '??? question "q"\n\n' + textwrap.indent(f"```text\n{bad}```\n", "    ")
    assert [at for at, _ in ragged_in(hidden)] == [8]


def test_output_that_looks_like_a_diagram_is_what_was_printed() -> None:
    bad = DIAGRAM.replace("▼     │", "▼    │")
    page = f'```python\nprint(table)\n```\n\n```text title="Output"\n{bad}```\n'
    assert [snippet.language for snippet in find(page)] == ["python"]
