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


def python(code: str, output: str = "") -> str:
    """A fence of code, and what the page says it prints."""
    block = f"\n{OUTPUT}{output}\n```\n" if output else ""
    return f"```python\n{code}\n```\n{block}"


def pycon(examples: str) -> str:
    """A fence of examples."""
    return f"```pycon\n{examples}\n```\n"


FAULTS = {  # a page, and what is said of it
    python("print(1)", "2"): "5: this Output block is not what the code above it (line 1) prints",
    python("print('a\\nb')", "a"): "5: this Output block is not what",
    python("print(True)", "1"): "5: this Output block is not what",
    python("print(1)", "... ..."): "5: this Output block is not what",  # which says nothing
    python("print('```')"): "1: this code prints something, and no Output block under it",
    python("x = 1\nprint(x)") + "\ntext\n": "1: this code prints something, and no Output block",
    python("x = 1", "1"): "5: this Output block stands under code that prints nothing",
    python("x = 1") + f"\ntext\n\n{OUTPUT}1\n```\n": "7: this Output block does not stand right",
    "a\n\n" + python("x = 1\n1 / 0"): "5: this code raises ZeroDivisionError: division by zero",
    python("def f():\n    1 / 0") + python("f()"): "3: this code raises ZeroDivisionError",
    python("raise SystemExit(0)"): "2: this code raises SystemExit",
    python("x = 1\nx ="): "3: this code raises SyntaxError",
    python("import warnings\nwarnings.warn('old')"): "3: this code raises UserWarning: old",
    python(
        "import os\nos._exit(0)"
    ): "1: this code, or what is above it, ends Python or never ends",
    python(
        "x = open(__file__).read()"
    ): "2: this code writes to standard error: ResourceWarning: un",
    python("class A:\n    def __del__(self):\n        1 / 0\n\nA()"): (
        "4: this code writes to standard error: ZeroDivisionError"
    ),
    python("import threading\nthreading.Thread(target=lambda: 1 / 0).start()"): (
        "3: this code writes to standard error: ZeroDivisionError: division by zero"
    ),
    python("import doctest as d\nd.OutputChecker.check_output = lambda *it: 1\nprint(1)", "2"): (
        "7: this Output block is not what"
    ),
    python("print(1, end='\\r')"): r"1: this code prints '\r', which a page cannot show",
    pycon(">>> print('\\033[1mx')\nx"): r"2: this code prints '\x1b', which a page cannot show",
    pycon(">>> x = 1\n>>> x\n2"): "3: this example does not give what it says",
    pycon(">>> [1]\n[...]"): "2: this example does not give what it says",  # which says nothing
    "a\n\n" + pycon(">>> 1 / 0"): "4: this code raises ZeroDivisionError",
    pycon("1"): "1: this fence holds no `>>>`",
    python(">>> 1\n2"): "2: this example does not give what it says",
    pycon(">>> x = 1\n>>>x\n1"): "3: this line lacks blank after >>>: '>>>x': mend it",
    pycon("  >>> 1\n 1"): "3: this line has inconsistent leading whitespace",
    pycon(">>> 1\n1\n>>> 2  # doctest: +SKIP\n3"): "4: this example is skipped without a reason",
    "a\n\n```python\nx = 1\n": "3: no line closes this fence",
    "- a\n\n    ```python\n    1\n```\n": "3: no line closes this fence",
    "<!-- skip: next -->\n\n" + python("1"): (
        '1: a skip comment has to read <!-- skip: next "reason" -->'
    ),
    '<!-- skip: start "no" -->\n\n' + python("1"): "1: a skip comment has to read",
    '<!-- skip: next "why" -->\n\ntext\n\n' + python("1"): (
        "1: this skip comment is not right above a python fence"
    ),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.items(), ids=FAULTS.values())
def test_a_fault_is_caught_with_its_file_and_line(page: Path, text: str, fault: str) -> None:
    (found,) = faults(page, text)
    assert found.startswith(f"page.md:{fault}")
    (found,) = faults(page, '??? question "q"\n\n' + textwrap.indent(text, "    "))
    line, _, what = fault.partition(":")
    assert found.startswith(f"page.md:{int(line) + 2}:{what.replace('(line 1)', '(line 3)')}")


def test_the_message_shows_both_texts_and_the_cure(page: Path) -> None:
    (fault,) = faults(page, python("print(1)", "2"))
    assert "expected:\n    2\nprinted:\n    1\ncure: " in fault
    assert "make outputs" in fault


HOLDS = {
    "names": python("x = 1") + "\n" + pycon(">>> x\n1"),
    "output": python("print(1)", "1"),
    "output that touches": python("print(1)") + f"{OUTPUT}1\n```\n",
    "empty lines": python("print('a', '', 'b ', '', sep='\\n')", "a\n\nb"),
    "any text": python("print('a', 3, 'b')", "a ... b"),
    "skipped": '<!-- skip: next "slow" -->\n\n' + python("1 / 0"),
    "an expected exception": pycon(
        ">>> 1 / 0\nTraceback (most recent call last):\n  ...\nZeroDivisionError: division by zero"
    ),
    "an option": pycon(">>> [1, 2]  # doctest: +NORMALIZE_WHITESPACE\n[1,    2]"),
    "commented out": f"<!--\n{python('1 / 0')}-->\n",
    "shown as Markdown": f"````markdown\n{python('1 / 0')}````\n",
    "quoted": f"> ```python\n> print(1)\n> ```\n>\n> {OUTPUT}> 1\n> ```\n",
    "tildes": "~~~python\nx = '''\n```\n'''\n~~~\n",
    "what a script may": python("from __future__ import annotations\nimport pickle")
    + python("class A:\n    def f(self) -> Unknown: ...")
    + python("assert type(pickle.loads(pickle.dumps(A()))) is A\nassert __file__"),
}


def test_what_holds_passes(page: Path) -> None:
    for text in HOLDS.values():
        assert faults(page, text) == []


def test_code_that_never_ends_is_ended(page: Path) -> None:
    page.write_text(python("while True: pass") + python("1"), encoding="utf-8")
    found = [result.faults[0] for result in results(page, seed=1, patience=3)]
    assert [fault.split(" this")[0] for fault in found] == ["page.md:1:", "page.md:4:"]


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

MENDED = {  # what stands there in place of what
    "n is 0\n": "n is 1\n",
    "    f(2)\n    ```\n": (
        '    f(2)\n    ```\n\n    ```text title="Output"\n    n is 2\n\n    took 12 ms\n    ```\n'
    ),
    "        n is 4\n": "        n is 3\n        <BLANKLINE>\n        took 12 ms\n",
    "        >>> 4\n": "        >>> 4\n        4\n",
    "ValueError: no\n": "ValueError: invalid literal for int() with base 10: 'x'\n",
    '\n```text title="Output"\n1\n```\n': "",
    "> 2\n": "> 1\n",
}


def test_outputs_are_rewritten_by_line_and_only_once(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_bytes(STALE.replace("\n", "\r\n").encode())
    page.chmod(0o640)
    assert refresh([page]) == 0
    text = STALE
    for old, new in MENDED.items():
        text = text.replace(old, new)
    assert page.read_bytes() == text.replace("\n", "\r\n").encode()
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
    stale = python("print(1)", "0")
    text = stale + python("1 / 0") + stale
    page.write_text(text, encoding="utf-8")
    assert refresh([page]) == 1
    assert page.read_text(encoding="utf-8") == text.replace("\n0\n", "\n1\n", 1)
    assert "page.md:9: this code raises ZeroDivisionError" in capsys.readouterr().err


def test_a_page_that_holds_is_not_touched(page: Path) -> None:
    page.write_bytes(b"no newline at the end\n\n" + python("print(1)", "1").rstrip().encode())
    before = page.stat()
    assert refresh([page]) == 0
    assert (page.stat().st_ino, page.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_fence_among_what_is_printed_is_kept_inside(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = python('print("```", "after", sep="\\n")')
    page.write_text(f"{code}\nText.\n", encoding="utf-8")
    assert refresh([page]) == 0
    block = '````text title="Output"\n```\nafter\n````\n'
    assert page.read_text(encoding="utf-8") == f"{code}\n{block}\nText.\n"
    assert refresh([page]) == 0
    doctest = pycon('>>> print("```")\n1')  # its own fence is the author's
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

    stale = python("print(1)", "0")
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
IN_A_LIST = """
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
FIRST = python("from rlhf_explained.twice import twice\n\nprint(twice(1))", "2") + IN_A_LIST
SECOND = pycon(">>> from rlhf_explained.twice import twice\n>>> twice(2)\n4")
CHANGES = [
    *("--- docs/first.md", "+++ docs/first.md", "-2", "+3", "-    6", "+    9"),
    *("--- docs/second.md", "+++ docs/second.md", "-4", "+6"),
    *("--- rlhf_explained/twice.py", "+++ rlhf_explained/twice.py", "-        2", "+        3"),
]
PLACES = """\
docs/first.md:6: rewritten
docs/first.md:17: rewritten
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
    first = FIRST.replace("\n2\n", "\n3\n").replace("    6\n", "    9\n")
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

IMPORTS = """\
import decimal, gc, logging, os, random, sys
import matplotlib as mpl
import numpy as np
import torch

"""
LEAKS = {  # what one page does, and what the next one finds
    "torch.set_default_dtype(torch.float64)": "torch.get_default_dtype() == torch.float32",
    "torch.set_default_device('meta')": "torch.rand(1).device.type == 'cpu'",
    "torch.set_grad_enabled(False)": "torch.is_grad_enabled()",
    "torch.manual_seed(7)": "torch.initial_seed() != 7",
    "torch.set_printoptions(precision=1)": "'0.3333' in str(torch.tensor(1 / 3))",
    "torch.rand = len": "torch.rand is not len",
    "np.seterr(all='raise')": "np.geterr()['divide'] == 'warn'",
    "mpl.rcParams['lines.linewidth'] = 9": "mpl.rcParams['lines.linewidth'] != 9",
    "os.environ['LEAK'] = '1'": "'LEAK' not in os.environ",
    "os.chdir('/')": "os.getcwd() != '/'",
    "sys.path.insert(0, '/nowhere')": "'/nowhere' not in sys.path",
    "decimal.getcontext().prec = 3": "decimal.getcontext().prec == 28",
    "gc.disable()": "gc.isenabled()",
    "logging.disable()": "logging.root.manager.disable == 0",
    "name = 'of the first page'": "'name' not in globals() and __name__ == '__main__'",
}
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
    seeded = python("import torch\nprint(torch.rand(3))", "0")
    text = {"c": python("print(1)", "2"), "e": seeded, "a": python(IMPORTS + "\n".join(LEAKS))}
    text["b"] = python(IMPORTS + "\n".join(f"assert {found}" for found in LEAKS.values()))
    text["d"] = HOLDS["skipped"] + "\n" + HOLDS["output"]
    text["z"] = python("x = open(__file__).read()")  # the last of its process
    for name in text:
        (docs / f"{name}.md").write_text(text[name], encoding="utf-8")
    refresh([docs / "e.md"])  # prints what the global generator gives there
    for processes in ("0", "1"):
        done = pytest_there(tmp_path, "-n", processes, "docs")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "docs/c.md:5: this Output block is not what the code above it" in done.stdout
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
