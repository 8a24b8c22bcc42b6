"""Runs the code that pages show, and compares or rewrites what it prints.

A page has one namespace, so a fence may use what an earlier one defined. In an output, `...` stands
for any text. The tests run every snippet; `make outputs` runs them too and rewrites the Output
blocks and doctest results that no longer hold.
"""

import contextlib
import difflib
import doctest
import importlib
import io
import os
import random
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_explained.site.faults import no_python
from rlhf_explained.site.snippets.find import Snippet, find

FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
CURE = "cure: if the code is right, run `make outputs` and read what it changed"


@dataclass
class Edit:
    """Lines to put in place of those from `first` to before `end`."""

    first: int
    end: int
    lines: list[str]


@dataclass
class Result:
    """What came of running a snippet."""

    faults: list[str] = field(default_factory=list)
    """What did not hold, each with file and line."""
    edits: list[Edit] = field(default_factory=list)
    """What would mend the faults that are about output."""
    raised: bool = False
    """Whether the code failed, so that nothing below it on the page can be trusted."""


def run(snippet: Snippet, path: str, namespace: dict[str, Any]) -> Result:
    """Run a snippet and compare what it prints with what the page says.

    Args:
        snippet: Any but a skipped one.
        path: Its file, for messages and tracebacks.
        namespace: The page's names; it grows.

    Returns:
        What did not hold.
    """
    place = f"{os.path.relpath(path)}:{snippet.line + 1}"
    if snippet.language == "fault":
        return Result([f"{place}: {snippet.code}"], raised=True)
    if snippet.language == "pycon":
        return _run_doctests(snippet, path, namespace)
    printed = io.StringIO()
    try:
        # the empty lines make tracebacks name the page's own lines
        code = compile("\n" * snippet.first + snippet.code, path, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
    except (Exception, SystemExit) as error:  # a page must not end the test run
        return Result([_raised(error, path, place)], raised=True)
    return _compare(snippet, path, printed.getvalue())


def _raised(error: BaseException, path: str, place: str) -> str:
    """Describe an exception by the line of the page that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    if lines:
        place = f"{os.path.relpath(path)}:{lines[-1]}"
    shown = "".join(traceback.format_exception(error)[-12:])
    what = f"this code raises {type(error).__name__}: {error}; mend it"
    return f"{place}: {what}\n{shown}"


def _compare(snippet: Snippet, path: str, printed: str) -> Result:
    file = os.path.relpath(path)
    got, want = _lines(printed), _lines(snippet.want)
    if snippet.output is None:
        if not got:
            return Result()
        what = "this code prints something, and no Output block under it shows what"
        block = ["", '```text title="Output"', *got, "```"]
        edit = Edit(snippet.end, snippet.end, _with_prefix(block, snippet.prefix))
        shown = _shown("printed", got)
        return Result([f"{file}:{snippet.line + 1}: {what}\n{shown}\n{CURE}"], [edit])
    first, end = snippet.output
    if not got:
        what = "this Output block stands under code that prints nothing"
        above = snippet.first + snippet.code.count("\n") + 1
        return Result([f"{file}:{first}: {what}\n{CURE}"], [Edit(above, end + 1, [])])
    if _agree(want, got):
        return Result()
    what = f"this Output block is not what the code above it (line {snippet.line + 1}) prints"
    shown = f"{_shown('expected', want)}\n{_shown('printed', got)}"
    edit = Edit(first, end, _with_prefix(_keep_ellipses(want, got), snippet.prefix))
    return Result([f"{file}:{first}: {what}\n{shown}\n{CURE}"], [edit])


def _lines(text: str) -> list[str]:
    """Lines without what nobody sees: blanks at their ends, empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []


def _agree(want: Iterable[str], got: Iterable[str]) -> bool:
    wanted, printed = ("".join(f"{line}\n" for line in lines) for lines in (want, got))
    flags = FLAGS | doctest.DONT_ACCEPT_BLANKLINE
    return doctest.OutputChecker().check_output(wanted, printed, flags)


def _keep_ellipses(want: list[str], got: list[str]) -> list[str]:
    """Take the new lines, but keep the author's line with `...` where it still matches."""
    old = [line for line in want if "..." in line and line.strip() != "..."]
    fresh = []
    for line in got:
        place = next((i for i, kept in enumerate(old) if _agree([kept], [line])), None)
        if place is None:
            fresh.append(line)
        else:
            fresh.append(old[place])
            del old[: place + 1]
    return fresh


def _with_prefix(lines: Iterable[str], prefix: str) -> list[str]:
    return [(prefix + line).rstrip() for line in lines]


def _shown(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *(f"    {line}" for line in lines)])


class _Doctests(doctest.DocTestRunner):
    """Collects what goes wrong instead of printing it."""

    def __init__(self) -> None:
        super().__init__(optionflags=FLAGS, verbose=False)
        self.got: str | None = None
        self.error: BaseException | None = None

    def report_failure(self, out: Any, test: Any, example: Any, got: str) -> None:
        self.got = got

    def report_unexpected_exception(self, out: Any, test: Any, example: Any, exc_info: Any) -> None:
        self.error = exc_info[1]


def _run_doctests(snippet: Snippet, path: str, namespace: dict[str, Any]) -> Result:
    result = Result()
    file = os.path.relpath(path)
    examples = doctest.DocTestParser().get_examples(snippet.code, path)
    if not examples:
        return Result(
            [f"{file}:{snippet.line + 1}: this fence holds no `>>>`: write some"], raised=True
        )
    for example in examples:
        line = snippet.first + example.lineno
        runner = _Doctests()
        test = doctest.DocTest([example], {}, path, path, snippet.first, None)
        test.globs = namespace  # not the copy that DocTest makes: examples share names
        runner.run(test, out=lambda text: None, clear_globs=False)
        if runner.error is not None:
            result.faults.append(_raised(runner.error, path, f"{file}:{line + 1}"))
            result.raised = True
            break
        if runner.got is not None:
            fresh = _doctest_lines(example, runner.got)
            shown = f"{_shown('expected', _lines(example.want))}\n{_shown('given', fresh)}"
            what = "this example does not give what it says"
            result.faults.append(f"{file}:{line + 1}: {what}\n{shown}\n{CURE}")
            first = line + example.source.count("\n")
            end = first + example.want.count("\n")
            prefix = snippet.prefix + " " * example.indent
            result.edits.append(Edit(first, end, _with_prefix(fresh, prefix)))
    return result


def _doctest_lines(example: doctest.Example, got: str) -> list[str]:
    """Write what an example gave the way doctest wants to read it."""
    header = "Traceback (most recent call last):"
    if example.exc_msg is not None and header in got:
        message = [line for line in got.splitlines() if line and not line.startswith(" ")]
        return [header, "    ...", *message[message.index(header) + 1 :]]
    return _keep_ellipses(_lines(example.want), [line or "<BLANKLINE>" for line in _lines(got)])


def hold_global_state(*, seed: int) -> Callable[[], None]:
    """Remember what a page could change for the next one.

    Args:
        seed: Where the global generators start, another number in the tests than in `make outputs`:
            what a page prints from them is another thing for each reader, so it must fail.

    Returns:
        What puts everything back.
    """
    import jaxtyping
    import matplotlib as mpl
    import numpy as np
    import torch

    stack = contextlib.ExitStack()
    stack.enter_context(warnings.catch_warnings())
    stack.enter_context(mpl.rc_context())
    stack.enter_context(torch.random.fork_rng(devices=[]))
    stack.callback(torch.set_grad_enabled, torch.is_grad_enabled())
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    stack.callback(torch.set_printoptions, profile="default")
    deterministic = torch.are_deterministic_algorithms_enabled()
    stack.callback(torch.use_deterministic_algorithms, deterministic)
    stack.callback(np.set_printoptions, **np.get_printoptions())
    stack.callback(np.random.set_state, np.random.get_state())
    stack.callback(random.setstate, random.getstate())
    stack.callback(os.chdir, Path.cwd())
    # Shapes are checked only in tests of the package; a page runs as it does for its readers.
    stack.callback(jaxtyping.config.update, "jaxtyping_disable", jaxtyping.config.jaxtyping_disable)
    jaxtyping.config.update("jaxtyping_disable", True)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    return stack.close


def results(path: Path, *, seed: int) -> Generator[Result, None, None]:
    """Run a page as a script of its own.

    Args:
        path: A Markdown page or a module of the package.
        seed: As for `hold_global_state`.

    Yields:
        What comes of each snippet, while what a page could change is held.
    """
    python = path.suffix == ".py"
    try:
        found = find(path.read_text(encoding="utf-8"), python=python)
    except SyntaxError as error:
        error.filename = str(path)
        yield Result([no_python(error)], raised=True)
        return
    snippets = [snippet for snippet in found if not snippet.skip]
    if not snippets:
        return
    put_back = hold_global_state(seed=seed)
    try:
        warnings.simplefilter("error")
        namespace = _module_names(path) if python else {"__name__": "__main__"}
        for snippet in snippets:
            yield run(snippet, str(path), namespace)
    finally:
        put_back()


def refresh(path: Path) -> tuple[list[str], list[str]]:
    """Run a page and rewrite its Output blocks and doctest results where they do not hold.

    Nothing is rewritten below code that raises.

    Args:
        path: A Markdown page or a module of the package.

    Returns:
        Where lines changed, and what could not be mended; each with file and line.
    """
    edits: list[Edit] = []
    faults: list[str] = []
    with contextlib.closing(results(path, seed=2)) as ran:
        for result in ran:
            edits += result.edits
            if result.raised:
                faults += result.faults
                break
    lines = path.read_text(encoding="utf-8").split("\n")
    for edit in sorted(edits, key=lambda edit: edit.first, reverse=True):
        lines[edit.first : edit.end] = edit.lines
    if edits:
        path.write_text("\n".join(lines), encoding="utf-8")
    return [f"{os.path.relpath(path)}:{edit.first + 1}" for edit in edits], faults


def _module_names(path: Path) -> dict[str, Any]:
    """The names of a module of the package, which its docstrings may use."""
    parts = path.with_suffix("").parts
    package = len(parts) - 1 - parts[::-1].index("rlhf_explained")
    name = ".".join(parts[package:]).removesuffix(".__init__")
    return dict(vars(importlib.import_module(name)))


def refresh_all(paths: Iterable[Path]) -> int:
    """Rewrite pages and docstrings; show what changed, and list where.

    Args:
        paths: Of Markdown pages and modules.

    Returns:
        How many faults are left that only an author can mend.
    """
    changed: list[str] = []
    faults: list[str] = []
    for path in paths:
        before = path.read_text(encoding="utf-8")
        page_changes, page_faults = refresh(path)
        if page_changes:
            print(_difference(before, path))
        changed += page_changes
        faults += page_faults
    for place in changed:
        print(f"{place}: rewritten")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(changed)} rewritten, {len(faults)} cannot be run")
    return len(faults)


def _difference(before: str, path: Path) -> str:
    """What has become of a page, as `diff -u` shows it."""
    texts = (before.splitlines(), path.read_text(encoding="utf-8").splitlines())
    name = os.path.relpath(path)
    return "\n".join(difflib.unified_diff(*texts, name, name, lineterm=""))
