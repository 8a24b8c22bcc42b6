"""What a page says its code prints is what it prints, and `make outputs` mends it by line."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rlhf_explained.site.snippets.find import find, is_page, pages
from rlhf_explained.site.snippets.run import refresh, run

ROOT = Path(__file__).resolve().parent.parent


def faults(text: str, *, python: bool = False) -> list[str]:
    """The first lines of all faults of a page called page.md."""
    namespace: dict[str, object] = {}
    found = []
    for snippet in find(text, python=python):
        if not snippet.skip:
            found += run(snippet, str(Path("page.md").absolute()), namespace).faults
    return [fault.split("\n")[0] for fault in found]


OUTPUT = '```text title="Output"\n'

FAULTS = {
    "wrong output": (
        f"a\n\n```python\nprint(1)\n```\n\n{OUTPUT}2\n```\n",
        "page.md:7: this Output block is not what the code above it (line 3) prints",
    ),
    "output cut short": (
        f"```python\nprint('a\\nb')\n```\n\n{OUTPUT}a\n```\n",
        "page.md:5: this Output block is not what",
    ),
    "True for 1": (
        f"```python\nprint(True)\n```\n\n{OUTPUT}1\n```\n",
        "page.md:5: this Output block is not what",
    ),
    "no output block": (
        "```python\nx = 1\nprint(x)\n```\n\ntext\n",
        "page.md:1: this code prints something, and no Output block under it",
    ),
    "output of nothing": (
        f"```python\nx = 1\n```\n\n{OUTPUT}1\n```\n",
        "page.md:5: this Output block stands under code that prints nothing",
    ),
    "stray output": (
        f"```python\nx = 1\n```\n\ntext\n\n{OUTPUT}1\n```\n",
        "page.md:7: this Output block does not stand right under a python fence",
    ),
    "raises": (
        "a\n\n```python\nx = 1\n1 / 0\n```\n",
        "page.md:5: this code raises ZeroDivisionError: division by zero",
    ),
    "raises in a function": (
        "```python\ndef f():\n    1 / 0\n```\n\n```python\nf()\n```\n",
        "page.md:3: this code raises ZeroDivisionError",
    ),
    "exits": ("```python\nraise SystemExit(0)\n```\n", "page.md:2: this code raises SystemExit"),
    "no Python": ("a\n\n```python\nx = 1\nx =\n```\n", "page.md:5: this code raises SyntaxError"),
    "wrong doctest": (
        "```pycon\n>>> x = 1\n>>> x\n2\n```\n",
        "page.md:3: this example does not give what it says",
    ),
    "doctest raises": (
        "a\n\n```pycon\n>>> 1 / 0\n```\n",
        "page.md:4: this code raises ZeroDivisionError",
    ),
    "doctest without a prompt": ("```pycon\n1\n```\n", "page.md:1: this fence holds no `>>>`"),
    "doctest in a python fence": (
        "```python\n>>> 1\n2\n```\n",
        "page.md:2: this example does not give what it says",
    ),
    "never closed": ("a\n\n```python\nx = 1\n", "page.md:3: no line closes this fence"),
    "closed further left": (
        "- a\n\n    ```python\n    1\n```\n",
        "page.md:3: no line closes this fence",
    ),
    "skipped without a reason": (
        "<!-- skip: next -->\n\n```python\n1\n```\n",
        'page.md:1: a skip comment has to read <!-- skip: next "reason" -->',
    ),
    "everything skipped": (
        '<!-- skip: start "no" -->\n\n```python\n1\n```\n',
        "page.md:1: a skip comment has to read",
    ),
    "nothing to skip": (
        '<!-- skip: next "why" -->\n\ntext\n\n```python\n1\n```\n',
        "page.md:1: this skip comment is not right above a python fence",
    ),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("container", ["", '??? question "q"\n\n'], ids=["plain", "hidden"])
def test_a_fault_is_caught_with_its_file_and_line(text: str, fault: str, container: str) -> None:
    if container:
        text = textwrap.indent(text, "    ")
        line = int(fault.split(":")[1])
        fault = fault.replace(f":{line}:", f":{line + 2}:").replace("line 3", "line 5")
    (found,) = faults(container + text)
    assert found.startswith(fault)


def test_the_message_shows_both_texts_and_the_cure() -> None:
    text = f"```python\nprint(1)\n```\n\n{OUTPUT}2\n```\n"
    (snippet,) = find(text)
    (fault,) = run(snippet, "page.md", {}).faults
    assert "expected:\n    2\nprinted:\n    1\ncure: " in fault
    assert "make outputs" in fault


HOLDS = {
    "a page's names": "```python\nx = 1\n```\n\n```pycon\n>>> x\n1\n```\n",
    "output": f"```python\nprint(1)\n```\n\n{OUTPUT}1\n```\n",
    "output that touches": f"```python\nprint(1)\n```\n{OUTPUT}1\n```\n",
    "empty lines": f"```python\nprint('a', '', 'b ', '', sep='\\n')\n```\n\n{OUTPUT}a\n\nb\n```\n",
    "any text": f"```python\nprint('a', 3, 'b')\n```\n\n{OUTPUT}a ... b\n```\n",
    "skipped": '<!-- skip: next "slow" -->\n\n```python\n1 / 0\n```\n',
    "an expected exception": (
        "```pycon\n>>> 1 / 0\nTraceback (most recent call last):\n"
        "    ...\nZeroDivisionError: division by zero\n```\n"
    ),
    "commented out": "<!--\n```python\n1 / 0\n```\n-->\n",
    "shown as Markdown": "````markdown\n```python\n1 / 0\n```\n````\n",
    "quoted": f"> ```python\n> print(1)\n> ```\n>\n> {OUTPUT}> 1\n> ```\n",
    "tildes": "~~~python\nx = '''\n```\n'''\n~~~\n",
}


@pytest.mark.parametrize("text", HOLDS.values(), ids=HOLDS)
def test_what_holds_passes(text: str) -> None:
    assert faults(text) == []


MODULE = '''\
"""A module.

>>> double(1)
3
"""


def double(x):
    r"""Twice é, \\theta.

    ```python
    print(double(2))
    ```

    ```text title="Output"
    5
    ```

    Examples:
        >>> double(3)
        7
    """
    return 2 * x


class Thing:
    size: int = 3
    """>>> double(4)
    9"""
'''


def test_docstrings_are_pages_too() -> None:
    found = find(MODULE, python=True)
    namespace: dict[str, object] = {"double": lambda x: 2 * x}
    wrong = [fault for s in found for fault in run(s, "module.py", namespace).faults]
    assert [fault.split(" ")[0] for fault in wrong] == [
        *("module.py:3:", "module.py:15:", "module.py:20:", "module.py:28:")
    ]


def test_which_files_are_pages(tmp_path: Path) -> None:
    yes = ["README.md", "docs/a.md", "docs/a/b.md", "rlhf_explained/a/b.py"]
    no = ["tests/a.md", "docs/a.py", "tests/a.py", "rlhf_explained/a.md", ".venv/x/docs/a.md"]
    for name in yes + no:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in pages(tmp_path)) == sorted(yes)
    assert not any(is_page(tmp_path / name, tmp_path) for name in no)


# --- make outputs ------------------------------------------------------------------------------

STALE = """\
# Page

```python
def f(n):
    print("n is", n)
    print()
    print("took 12 ms")

f(1)
```

```text title="Output"
n is 0

took ... ms
```

1.  In a list

    ```python
    f(2)
    ```

    after

    ??? question "Hidden"

        ```pycon
        >>> f(3)
        n is 4
        >>> [f"{n}, x" for n in range(2)]
        [...]
        >>> 4
        >>> int("x")
        Traceback (most recent call last):
            ...
        ValueError: no
        ```

```python
y = 1
```

```text title="Output"
1
```

> ```python
> print(y)
> ```
>
> ```text title="Output"
> 2
> ```
"""

MENDED = """\
# Page

```python
def f(n):
    print("n is", n)
    print()
    print("took 12 ms")

f(1)
```

```text title="Output"
n is 1

took ... ms
```

1.  In a list

    ```python
    f(2)
    ```

    ```text title="Output"
    n is 2

    took 12 ms
    ```

    after

    ??? question "Hidden"

        ```pycon
        >>> f(3)
        n is 3
        <BLANKLINE>
        took 12 ms
        >>> [f"{n}, x" for n in range(2)]
        [...]
        >>> 4
        4
        >>> int("x")
        Traceback (most recent call last):
            ...
        ValueError: invalid literal for int() with base 10: 'x'
        ```

```python
y = 1
```

> ```python
> print(y)
> ```
>
> ```text title="Output"
> 1
> ```
"""


def test_outputs_are_rewritten_by_line_and_only_once(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(STALE, encoding="utf-8")
    changed, faults = refresh(page)
    assert page.read_text(encoding="utf-8") == MENDED
    assert [int(place.rsplit(":", 1)[1]) for place in changed] == [13, 23, 30, 34, 35, 43, 53]
    assert faults == []
    assert refresh(page) == ([], [])
    assert page.read_text(encoding="utf-8") == MENDED


def test_nothing_is_rewritten_below_code_that_raises(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    stale = f"```python\nprint(1)\n```\n\n{OUTPUT}0\n```\n\n"
    page.write_text(f"{stale}```python\n1 / 0\n```\n\n{stale}", encoding="utf-8")
    changed, faults = refresh(page)
    assert [place.rsplit(":", 1)[1] for place in changed] == ["6"]
    assert "page.md:10: this code raises ZeroDivisionError" in faults[0]


def test_a_page_that_holds_is_not_touched(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(
        f"no newline at the end\n\n```python\nprint(1)\n```\n\n{OUTPUT}1\n```".encode()
    )
    before = page.stat().st_mtime_ns
    assert refresh(page) == ([], [])
    assert page.stat().st_mtime_ns == before


# A checkout in which a formula changes

FORMULA = '''\
"""A formula."""


def twice(x):
    """Twice a number.

    Examples:
        >>> twice(1)
        2
        >>> "n" * 2
        'nn'
    """
    return 2 * x
'''
FIRST = """\
```python
from rlhf_explained.twice import twice

print("n is", twice(1))
```

```text title="Output"
n is 2
```

```python
print("took 12 ms,", 1 + 1)
```

```text title="Output"
took ... ms, 2
```

1.  In a list

    ```python
    print("took 12 ms")
    print(twice(3))
    ```

    ```text title="Output"
    took ... ms
    6
    ```
"""
SECOND = """\
```pycon
>>> from rlhf_explained.twice import twice
>>> twice(2)
4
```
"""
CHANGES = [
    *("--- docs/first.md", "+++ docs/first.md", "-n is 2", "+n is 3", "-    6", "+    9"),
    *("--- docs/second.md", "+++ docs/second.md", "-4", "+6"),
    *("--- rlhf_explained/twice.py", "+++ rlhf_explained/twice.py", "-        2", "+        3"),
]
PLACES = """\
docs/first.md:8: rewritten
docs/first.md:27: rewritten
docs/second.md:4: rewritten
rlhf_explained/twice.py:9: rewritten
4 rewritten, 0 cannot be run
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package with a formula more, and two pages that use it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rlhf_explained", tmp_path / "rlhf_explained", ignore=ignored)
    (tmp_path / "rlhf_explained/twice.py").write_text(FORMULA, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/first.md").write_text(FIRST, encoding="utf-8")
    (tmp_path / "docs/second.md").write_text(SECOND, encoding="utf-8")
    return tmp_path


def outputs(checkout: Path, *page: str) -> str:
    """What `make outputs` prints there."""
    done = subprocess.run(
        [sys.executable, "-m", "rlhf_explained", "outputs", *page],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_exactly_what_a_changed_formula_affects_is_rewritten_and_shown(checkout: Path) -> None:
    assert outputs(checkout) == "0 rewritten, 0 cannot be run\n"
    formula = checkout / "rlhf_explained/twice.py"
    formula.write_text(FORMULA.replace("return 2 * x", "return 3 * x"), encoding="utf-8")
    printed = outputs(checkout)
    assert [line for line in printed.splitlines() if line[0] in "-+"] == CHANGES
    assert printed.endswith(PLACES)
    first = FIRST.replace("n is 2\n", "n is 3\n").replace("    6\n", "    9\n")
    assert (checkout / "docs/first.md").read_text(encoding="utf-8") == first
    assert (checkout / "docs/second.md").read_text(encoding="utf-8") == SECOND.replace("4", "6")
    assert outputs(checkout) == "0 rewritten, 0 cannot be run\n"


def test_one_page_can_be_rewritten_alone(checkout: Path) -> None:
    formula = checkout / "rlhf_explained/twice.py"
    formula.write_text(FORMULA.replace("return 2 * x", "return 3 * x"), encoding="utf-8")
    assert "docs/second.md:4: rewritten\n1 rewritten" in outputs(checkout, "docs/second.md")
    assert (checkout / "docs/first.md").read_text(encoding="utf-8") == FIRST
    assert "2 rewritten" in outputs(checkout, "docs/first.md")


# --- the whole way, as `make test` goes --------------------------------------------------------

LEAKS = """\
```python
import os, random
import matplotlib as mpl
import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.set_num_threads(1)
torch.manual_seed(7)
torch.set_printoptions(precision=1)
np.random.seed(7)
np.set_printoptions(precision=1)
random.seed(7)
mpl.rcParams["lines.linewidth"] = 9
os.chdir("/")
name = "of the first page"
```
"""

KEEPS_TIGHT = """\
```python
import os, random
import matplotlib as mpl
import numpy as np
import torch

assert torch.get_default_dtype() == torch.float32
assert torch.is_grad_enabled()
assert torch.initial_seed() != 7
assert "0.3333" in str(torch.tensor(1 / 3))
assert np.get_printoptions()["precision"] == 8
assert mpl.rcParams["lines.linewidth"] != 9
assert os.getcwd() != "/"
assert "name" not in globals()
assert __name__ == "__main__"
```
"""


def test_pytest_fails_where_a_page_does_and_pages_do_not_leak(tmp_path: Path) -> None:
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    docs = tmp_path / "docs"
    docs.mkdir()
    wrong = f"```python\nprint(1)\n```\n\n{OUTPUT}2\n```\n"
    (docs / "a.md").write_text(LEAKS, encoding="utf-8")
    (docs / "b.md").write_text(KEEPS_TIGHT, encoding="utf-8")
    (docs / "c.md").write_text(wrong, encoding="utf-8")
    (docs / "d.md").write_text(HOLDS["skipped"] + "\n" + HOLDS["output"], encoding="utf-8")
    seeded = f"```python\nimport torch\nprint(torch.rand(3))\n```\n\n{OUTPUT}...\n```\n"
    (docs / "e.md").write_text(seeded, encoding="utf-8")
    refresh(docs / "e.md")  # prints what the global generator gives there
    (docs / "e.md").write_text(_printed_by_outputs(docs / "e.md"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "docs"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "docs/c.md:5: this Output block is not what the code above it" in done.stdout
    assert "docs/e.md:6: this Output block is not what the code above it" in done.stdout
    assert "SKIPPED" in done.stdout
    assert "slow" in done.stdout
    assert "2 failed, 3 passed, 1 skipped" in done.stdout


def _printed_by_outputs(page: Path) -> str:
    page.write_text(page.read_text(encoding="utf-8").replace("...", "stale"), encoding="utf-8")
    refresh(page)
    return page.read_text(encoding="utf-8")
