"""What a page says its code prints is what it prints, and `make outputs` mends it by line."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rlhf_explained.disk import DiskError
from rlhf_explained.site.snippets.find import find, pages
from rlhf_explained.site.snippets.run import refresh, results

ROOT = Path(__file__).resolve().parent.parent


def faults(page: Path, text: str) -> list[str]:
    """All faults of a page, which is written first."""
    page.write_text(text, encoding="utf-8")
    return [fault for result in results(page, seed=1) for fault in result.faults]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page called page.md in the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "page.md"


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
    "output that says nothing": (
        f"```python\nprint(1)\n```\n\n{OUTPUT}... ...\n```\n",
        "page.md:5: this Output block is not what",
    ),
    "doctest that says nothing": (
        "```pycon\n>>> [1]\n[...]\n```\n",
        "page.md:2: this example does not give what it says",
    ),
    "doctest without a blank": (
        "```pycon\n>>> x = 1\n>>>x\n1\n```\n",
        "page.md:3: this line lacks blank after >>>: '>>>x': mend it",
    ),
    "doctest indented otherwise": (
        "```pycon\n  >>> 1\n 1\n```\n",
        "page.md:3: this line has inconsistent leading whitespace",
    ),
    "doctest skipped by accident": (
        "```pycon\n>>> 1\n1\n>>> 2  # doctest: +SKIP\n3\n```\n",
        "page.md:4: this example is skipped without a reason",
    ),
    "moves back": (
        "```python\nfor i in range(3):\n    print(i, end='\\r')\n```\n",
        r"page.md:1: this code prints '\r', which a page cannot show",
    ),
    "colours": (
        "```pycon\n>>> print('\\033[1mx')\nx\n```\n",
        r"page.md:2: this code prints '\x1b', which a page cannot show",
    ),
    "a file left open": (
        f"```python\nprint(len(open(__file__).read()) > 0)\n```\n\n{OUTPUT}True\n```\n",
        "page.md:2: this code writes to standard error: ResourceWarning: unclosed file",
    ),
    "a destructor that raises": (
        "```python\nclass A:\n    def __del__(self):\n        1 / 0\n\nA()\n```\n",
        "page.md:4: this code writes to standard error: ZeroDivisionError",
    ),
    "a thread that raises": (
        "```python\nimport threading\nthreading.Thread(target=lambda: 1 / 0).start()\n```\n",
        "page.md:3: this code writes to standard error: ZeroDivisionError: division by zero",
    ),
    "a warning": (
        "```python\nimport warnings\nwarnings.warn('old')\n```\n",
        "page.md:3: this code raises UserWarning: old",
    ),
    "ends Python": (
        "```python\nimport os\nos._exit(0)\n```\n",
        "page.md:1: this code, or what is above it, ends Python or never ends",
    ),
    "changes what checks it": (
        "```python\nimport doctest as d\nd.OutputChecker.check_output = lambda *it: True\n"
        f"print(1)\n```\n\n{OUTPUT}2\n```\n",
        "page.md:7: this Output block is not what",
    ),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_caught_with_its_file_and_line(page: Path, text: str, fault: str) -> None:
    (found,) = faults(page, text)
    assert found.startswith(fault)
    hidden = '??? question "q"\n\n' + textwrap.indent(text, "    ")
    line = int(fault.split(":")[1])
    (found,) = faults(page, hidden)
    assert found.startswith(fault.replace(f":{line}:", f":{line + 2}:").replace("line 3", "line 5"))


def test_the_message_shows_both_texts_and_the_cure(page: Path) -> None:
    (fault,) = faults(page, f"```python\nprint(1)\n```\n\n{OUTPUT}2\n```\n")
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
    "an option": "```pycon\n>>> [1, 2]  # doctest: +NORMALIZE_WHITESPACE\n[1,    2]\n```\n",
    "commented out": "<!--\n```python\n1 / 0\n```\n-->\n",
    "shown as Markdown": "````markdown\n```python\n1 / 0\n```\n````\n",
    "quoted": f"> ```python\n> print(1)\n> ```\n>\n> {OUTPUT}> 1\n> ```\n",
    "tildes": "~~~python\nx = '''\n```\n'''\n~~~\n",
    "what a script may": (
        "```python\nfrom __future__ import annotations\nimport pickle\n```\n\n```python\n"
        "class A:\n    def f(self) -> Unknown: ...\n\n\n"
        "assert type(pickle.loads(pickle.dumps(A()))) is A\nassert __file__\n```\n"
    ),
}


def test_what_holds_passes(page: Path) -> None:
    for text in HOLDS.values():
        assert faults(page, text) == []


def test_code_that_never_ends_is_ended(page: Path) -> None:
    page.write_text("```python\nwhile True: pass\n```\n\n```python\n1\n```\n", encoding="utf-8")
    found = [result.faults[0] for result in results(page, seed=1, patience=3)]
    assert [fault.split(" this")[0] for fault in found] == ["page.md:1:", "page.md:5:"]


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


def test_docstrings_are_pages_too(page: Path) -> None:
    wrong = [(one.line + 1, one.language, one.prefix) for one in find(MODULE, python=True)]
    inside = " " * 4
    pycon = [(20, "pycon", inside * 2), (28, "pycon", inside)]
    assert wrong == [(3, "pycon", ""), (11, "python", inside), *pycon]
    sound = ROOT / "rlhf_explained/formulas/masking.py"
    assert not [fault for result in results(sound, seed=1) for fault in result.faults]
    (fault,) = faults(page.with_suffix(".py"), "x = 1\nx = = 2")
    assert fault.startswith("page.py:2: this is no Python")


def test_which_files_are_pages(tmp_path: Path) -> None:
    yes = ["README.md", "docs/a.md", "docs/a/b.md", "rlhf_explained/a/b.py"]
    no = ["tests/a.md", "docs/a.py", "tests/a.py", "rlhf_explained/a.md", ".venv/x/docs/a.md"]
    for name in yes + no:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in pages(tmp_path)) == sorted(yes)


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
        ['0, ...']
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
        ['0, ...']
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


def test_outputs_are_rewritten_by_line_and_only_once(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_bytes(STALE.replace("\n", "\r\n").encode())
    page.chmod(0o640)
    assert refresh([page]) == 0
    assert page.read_bytes() == MENDED.replace("\n", "\r\n").encode()
    assert page.stat().st_mode & 0o777 == 0o640
    places = [line for line in capsys.readouterr().out.split("\n") if line.endswith("rewritten")]
    lines = (11, 23, 30, 34, 35, 43, 51)
    assert places == [f"page.md:{line}: rewritten" for line in lines]
    assert refresh([page]) == 0
    assert capsys.readouterr().out == "0 rewritten, 0 cannot be run\n"
    assert [path.name for path in page.parent.iterdir()] == ["page.md"]


def test_nothing_is_rewritten_below_code_that_raises(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = f"```python\nprint(1)\n```\n\n{OUTPUT}0\n```\n\n"
    text = f"{stale}```python\n1 / 0\n```\n\n{stale}"
    page.write_text(text, encoding="utf-8")
    assert refresh([page]) == 1
    assert page.read_text(encoding="utf-8") == text.replace("\n0\n", "\n1\n", 1)
    assert "page.md:10: this code raises ZeroDivisionError" in capsys.readouterr().err


def test_a_page_that_holds_is_not_touched(page: Path) -> None:
    page.write_bytes(
        f"no newline at the end\n\n```python\nprint(1)\n```\n\n{OUTPUT}1\n```".encode()
    )
    before = page.stat()
    assert refresh([page]) == 0
    assert (page.stat().st_ino, page.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_fence_among_what_is_printed_is_kept_inside(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = '```python\nprint("```", "after", sep="\\n")\n```\n'
    page.write_text(f"{code}\nText.\n", encoding="utf-8")
    assert refresh([page]) == 0
    block = '````text title="Output"\n```\nafter\n````\n'
    assert page.read_text(encoding="utf-8") == f"{code}\n{block}\nText.\n"
    assert refresh([page]) == 0
    doctest = '```pycon\n>>> print("```")\n1\n```\n'  # its own fence is the author's
    page.write_text(doctest, encoding="utf-8")
    assert refresh([page]) == 1
    assert page.read_text(encoding="utf-8") == doctest
    assert "page.md:3: what this prints would end the fence" in capsys.readouterr().err


def test_a_page_is_whole_though_it_cannot_be_written(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str, **settings: object) -> None:
        self.write_bytes(text.encode()[:9])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    stale = f"```python\nprint(1)\n```\n\n{OUTPUT}0\n```\n"
    page.write_text(stale, encoding="utf-8")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskError, match="the disk is full"):
        refresh([page])
    assert page.read_text(encoding="utf-8") == stale
    assert [path.name for path in page.parent.iterdir()] == ["page.md"]


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
docs/first.md:6: rewritten
docs/first.md:25: rewritten
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
import decimal, gc, logging, os, random, sys
import matplotlib as mpl
import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.manual_seed(7)
torch.set_printoptions(precision=1)
np.random.seed(7)
np.seterr(all="raise")
random.seed(7)
mpl.rcParams["lines.linewidth"] = 9
os.environ["LEAK"] = "1"
os.chdir("/")
sys.path.insert(0, "/nowhere")
decimal.getcontext().prec = 3
gc.disable()
logging.disable()
torch.rand = len
name = "of the first page"
```
"""

KEEPS_TIGHT = """\
```python
import decimal, gc, logging, os, sys
import matplotlib as mpl
import numpy as np
import torch

assert torch.get_default_dtype() == torch.float32
assert torch.is_grad_enabled()
assert torch.initial_seed() != 7
assert "0.3333" in str(torch.tensor(1 / 3))
assert torch.rand(1).device.type == "cpu"
assert np.geterr()["divide"] == "warn"
assert mpl.rcParams["lines.linewidth"] != 9
assert os.getcwd() != "/"
assert "LEAK" not in os.environ
assert "/nowhere" not in sys.path
assert decimal.getcontext().prec == 28
assert gc.isenabled()
assert logging.root.manager.disable == 0
assert "name" not in globals()
assert __name__ == "__main__"
```
"""

SEEDED = f"```python\nimport torch\nprint(torch.rand(3))\n```\n\n{OUTPUT}0\n```\n"
LOSES = """\
import pytest

def test_that_runs(): pass

def test_that_is_lost(): pass

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    return True if "lost" in item.name else None
"""


def pytest_there(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What pytest says in a folder that has our conftest.py."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )


def test_pytest_fails_where_a_page_does_and_pages_do_not_leak(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    text = {"a": LEAKS, "b": KEEPS_TIGHT, "c": FAULTS["wrong output"][0], "e": SEEDED}
    text["d"] = HOLDS["skipped"] + "\n" + HOLDS["output"]
    text["z"] = FAULTS["a file left open"][0]  # the last of its process
    for name in text:
        (docs / f"{name}.md").write_text(text[name], encoding="utf-8")
    refresh([docs / "e.md"])  # prints what the global generator gives there
    for processes in ("0", "1"):
        done = pytest_there(tmp_path, "-n", processes, "docs")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "docs/c.md:7: this Output block is not what the code above it" in done.stdout
        assert "docs/e.md:6: this Output block is not what the code above it" in done.stdout
        assert "docs/z.md:2: this code writes to standard error: ResourceWarning" in done.stdout
        assert "SKIPPED" in done.stdout
        assert "slow" in done.stdout
        assert "3 failed, 3 passed, 1 skipped" in done.stdout


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_run_that_loses_a_test_is_not_green(processes: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(LOSES, encoding="utf-8")
    (tmp_path / "plugin.py").write_text(LOSES, encoding="utf-8")
    done = pytest_there(tmp_path, "-n", processes, "-p", "plugin", "test_it.py")
    assert "1 passed" in done.stdout
    assert "not run, though found: test_it.py::test_that_is_lost" in done.stdout
    assert done.returncode == 3
