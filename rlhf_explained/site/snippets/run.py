"""Runs the code that pages show, and compares or rewrites what it prints.

A page has one namespace, so a fence may use what an earlier one defined. In an output, `...` stands
for any text. The tests run every snippet; `make outputs` runs them too and rewrites the Output
blocks and doctest results that no longer hold.

A page's code runs as a script of its own, in a process that ends with it. So it can change neither
the next page nor this process, which compares what was printed.
"""

import codeop
import contextlib
import difflib
import doctest
import gc
import importlib
import io
import multiprocessing
import os
import random
import re
import shutil
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from rlhf_explained.disk import shown, writing
from rlhf_explained.site.faults import no_python
from rlhf_explained.site.snippets.find import UNSEEN, Snippet, find

FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1 | doctest.DONT_ACCEPT_BLANKLINE
CURE = "cure: if the code is right, run `make outputs` and read what it changed"
PATIENCE = 900  # seconds that a piece of code may take
MODES = {"python": "exec", "pycon": "single"}

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["torch", "jaxtyping"])  # these take seconds; nothing of ours


@dataclass
class Edit:
    """Lines to put in place of those from `first` to before `end`."""

    first: int
    end: int
    lines: list[str]


@dataclass
class Result:
    """What came of running a snippet.

    Attributes:
        line: Where the snippet begins, from 0.
        faults: What did not hold, each with file and line.
        edits: What would mend the faults that are about output.
        raised: Whether the code failed, so that nothing below it on the page can be trusted.
    """

    line: int
    faults: list[str] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    raised: bool = False


@dataclass
class Ran:
    """What came of a piece of code: of a fence, or of one example of a doctest.

    Attributes:
        printed: On standard output.
        error: The last line of what it raised, as Python prints it.
        details: All of that, or what it wrote to standard error, such as what a thread raised.
        line: Of the page, from 1, where that came from.
    """

    printed: str
    error: str
    details: str
    line: int | None


def results(path: Path, *, seed: int, patience: float = PATIENCE) -> Iterator[Result]:
    """Run a page as a script of its own.

    Args:
        path: A Markdown page or a module of the package.
        seed: Where the global generators start, another number in the tests than in `make outputs`:
            what a page prints from them is another thing for each reader, so it must fail.
        patience: How many seconds each piece of code may take.

    Yields:
        What came of each snippet that is not skipped, in order; one for a file that is no Python.
    """
    try:
        found = find(path.read_text(encoding="utf-8"), python=path.suffix == ".py")
    except SyntaxError as error:
        error.filename = str(path)
        yield Result(0, [no_python(error)], raised=True)
        return
    snippets = [snippet for snippet in found if not snippet.skip]
    plans = [_examples(snippet) for snippet in snippets]
    pieces = [
        (example.source, example.lineno, MODES[snippet.language])
        for snippet, (examples, _, _) in zip(snippets, plans, strict=True)
        for example in examples
    ]
    ran = _run(path, pieces, seed, patience)
    for snippet, (examples, line, what) in zip(snippets, plans, strict=True):
        result = Result(snippet.line, raised=bool(what))
        result.faults += [f"{shown(path)}:{line + 1}: {what}"] if what else []
        for example, came in [(example, next(ran)) for example in examples]:
            if not result.raised:  # what comes after that means nothing
                _judge(snippet, example, came, shown(path), result)
        yield result


def _examples(snippet: Snippet) -> tuple[list[doctest.Example], int, str]:
    """What to run one after the other, or the line where something is wrong, and what."""
    if snippet.language == "fault":
        return [], snippet.line, snippet.code
    if snippet.language == "python":
        return [doctest.Example(snippet.code, snippet.want, lineno=snippet.first)], 0, ""
    try:
        examples = doctest.DocTestParser().get_examples(snippet.code)
    except ValueError as error:  # no blank after a prompt, or another indentation
        at, what = re.findall(r"line (\d+) of .*? ((?:has|lacks) .*)", str(error), re.S)[0]
        return [], snippet.first + int(at) - 1, f"this line {what}: mend it"
    for example in examples:
        example.lineno += snippet.first
        if example.options.get(doctest.SKIP):
            return [], example.lineno, "this example is skipped without a reason: take it out"
    return examples, snippet.line, "" if examples else "this fence holds no `>>>`: write some"


def _run(
    path: Path, pieces: list[tuple[str, int, str]], seed: int, patience: float
) -> Iterator[Ran | None]:
    """Run pieces of code one after the other in a process; None for what was not run to its end."""
    if not pieces:
        return
    receiver, sender = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_work, args=(path, pieces, seed, {**os.environ}, sender))
    process.start()
    sender.close()
    try:
        for _ in pieces:
            ready = wait([receiver, process.sentinel], patience)
            if not ready:
                process.kill()
            try:
                yield receiver.recv() if receiver in ready else None
            except EOFError:
                yield None
    finally:
        process.kill()
        process.join()


def _work(
    path: Path,
    pieces: list[tuple[str, int, str]],
    seed: int,
    environment: dict[str, str],
    sender: Connection,
) -> None:
    """Be a page's process: run its code, and send what came of each piece."""
    import numpy as np
    import torch

    os.environ.update(environment)
    for begin in (torch.manual_seed, np.random.seed, random.seed):
        begin(seed)
    warnings.simplefilter("error")
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    main.__file__ = str(path)
    if path.suffix == ".py":  # docstrings may use the names of their module
        parts = path.with_suffix("").parts
        package = len(parts) - 1 - parts[::-1].index("rlhf_explained")
        name = ".".join(parts[package:]).removesuffix(".__init__")
        vars(main).update(vars(importlib.import_module(name)))
    compiler = codeop.Compile()  # goes on with what `from __future__ import` has begun
    compiler.flags = 0
    gc.freeze()  # what is there already need not be looked through each time
    complaints, heard = io.StringIO(), 0  # of the whole page: a thread may be late
    threading.excepthook = lambda it: complaints.write("".join(traceback.format_exception(it[1])))
    for place, (code, line, mode) in enumerate(pieces, 1):
        printed, raised = io.StringIO(), None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaints):
            try:
                # the empty lines make tracebacks name the page's own lines
                exec(compiler("\n" * line + code, str(path), mode), vars(main))
            except (Exception, SystemExit) as error:
                raised = error
            for thread in threading.enumerate() if place == len(pieces) else ():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
            gc.collect()  # a file that was left open complains now
        said = complaints.getvalue()
        sender.send(_told(printed.getvalue(), said[heard:], raised, str(path)))
        heard = len(said)


def _told(printed: str, complaints: str, raised: BaseException | None, path: str) -> Ran:
    """What came of a piece of code, in words that another process understands."""
    named = re.findall(rf'File "{re.escape(path)}", line (\d+)', complaints)
    if raised is None:
        return Ran(printed, "", complaints.strip(), int(named[-1]) if named else None)
    frames = traceback.extract_tb(raised.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    if isinstance(raised, SyntaxError) and raised.filename == path:
        lines.append(raised.lineno)
    error = traceback.format_exception_only(raised)[-1].strip()
    trace = "".join(traceback.format_exception(raised)[-12:])
    return Ran(printed, error, trace, lines[-1] if lines else None)


def _judge(
    snippet: Snippet, example: doctest.Example, ran: Ran | None, file: str, result: Result
) -> None:
    """Add to the result what is wrong with what a piece of code did, and what would mend it."""
    is_doctest = snippet.language == "pycon"
    line = example.lineno if is_doctest else snippet.line
    if ran is None or (what := _wrong(ran, example)):
        what = what if ran else "this code, or what is above it, ends Python or never ends: mend it"
        line = ran.line - 1 if ran and ran.line else line
        result.faults.append(f"{file}:{line + 1}: {what}")
        result.raised = True
        return
    flags, want, got = FLAGS, _lines(example.want), _lines(ran.printed)
    for flag, is_set in example.options.items():
        flags = flags | flag if is_set else flags & ~flag
    if is_doctest:
        got = [printed or "<BLANKLINE>" for printed in got]
    if example.exc_msg and ran.error:
        got = ["Traceback (most recent call last):", "    ...", *_lines(ran.error)]
        want = got[:2] + _lines(example.exc_msg)
    if _agree(want, got, flags) and (is_doctest or bool(got) == bool(snippet.output)):
        return
    both = _shown("expected", want) + _shown("printed", got)
    fresh, prefix = _keep_ellipses(want, got), snippet.prefix
    if is_doctest:
        what = "this example does not give what it says"
        first = line + example.source.count("\n")
        end, prefix = first + example.want.count("\n"), prefix + " " * example.indent
    else:
        first, end = snippet.first + snippet.code.count("\n") + 1, snippet.end
        if not snippet.output:
            what = "this code prints something, and no Output block under it shows what"
        elif not got:
            what = "this Output block stands under code that prints nothing"
        else:
            what = f"this Output block is not what the code above it (line {line + 1}) prints"
        line = snippet.output or line
        marks = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", "\n".join(fresh))), 0)
        fresh = ["", f'{marks}text title="Output"', *fresh, marks] if got else []
    result.faults.append(f"{file}:{line + 1}: {what}\n{both}{CURE}")
    result.edits.append(Edit(first, end, [(prefix + text).rstrip() for text in fresh]))


def _wrong(ran: Ran, example: doctest.Example) -> str:
    """Say what no author can have meant, whatever the page shows; nothing if all is well."""
    if ran.error and not example.exc_msg:
        return f"this code raises {ran.error}; mend it\n{ran.details}"
    if ran.details and not ran.error:
        last = ran.details.split("\n")[-1]
        return f"this code writes to standard error: {last}; mend it\n{ran.details}"
    unseen = UNSEEN.search(ran.printed)
    cure = "which a page cannot show: print whole lines"
    return f"this code prints {unseen[0]!a}, {cure}" if unseen else ""


def _lines(text: str) -> list[str]:
    """Lines without what nobody sees: blanks at their ends, empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []


def _agree(want: list[str], got: list[str], flags: int = FLAGS) -> bool:
    """Whether what was printed is what a page says; `...` alone says nothing."""
    wanted, printed = ("".join(f"{line}\n" for line in lines) for lines in (want, got))
    says = re.search(r"\w", wanted) or not ("..." in wanted and re.search(r"\w", printed))
    return bool(says) and doctest.OutputChecker().check_output(wanted, printed, flags)


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


def _shown(title: str, lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in (f"{title}:", *(f"    {line}" for line in lines)) if lines)  # fmt: skip # noqa: E501


def refresh(path: Path) -> tuple[list[str], list[str]]:
    """Run a page; rewrite its Output blocks and doctest results that do not hold, and show that.

    Nothing is rewritten below code that raises, nor where it would be read as something else.

    Args:
        path: A Markdown page or a module of the package.

    Returns:
        Where lines changed, and what could not be mended; each with file and line.

    Raises:
        DiskError: If the page cannot be written; it is as it was.
    """
    edits: list[Edit] = []
    faults: list[str] = []
    with contextlib.closing(results(path, seed=2)) as ran:
        for result in ran:
            edits += result.edits
            if result.raised:
                faults += result.faults
                break
    text, file = path.read_text(encoding="utf-8"), shown(path)
    lines = text.split("\n")
    for edit in sorted(edits, key=lambda edit: edit.first, reverse=True):
        lines[edit.first : edit.end] = edit.lines
    fresh = "\n".join(lines)
    if edits and _code(fresh, path) != _code(text, path):
        what = "what this prints would end the fence around it: give that fence longer marks"
        return [], [*faults, f"{file}:{edits[0].first + 1}: {what}"]
    if edits:
        _replace(path.resolve(), fresh)
        diff = difflib.unified_diff(text.splitlines(), fresh.splitlines(), file, file, lineterm="")
        print(*diff, sep="\n")
    return [f"{file}:{edit.first + 1}" for edit in edits], faults


def _code(text: str, path: Path) -> list[str]:
    """All code of a page, which its outputs must not change."""
    with contextlib.suppress(SyntaxError):
        found = find(text, python=path.suffix == ".py")
        return [example.source for snippet in found for example in _examples(snippet)[0]]
    return []


def _replace(path: Path, text: str) -> None:
    """Write a page beside itself, with the line ends that it has, and let that take its place."""
    ends = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    fresh = path.with_name(f".{path.name}.new")
    with contextlib.ExitStack() as after, writing(path.parent):
        after.callback(fresh.unlink, missing_ok=True)
        fresh.write_text(text, encoding="utf-8", newline=ends)
        shutil.copymode(path, fresh)
        fresh.replace(path)


def refresh_all(paths: Iterable[Path]) -> int:
    """Rewrite pages and docstrings; show what changed, and list where.

    Args:
        paths: Of Markdown pages and modules.

    Returns:
        How many faults are left that only an author can mend.
    """
    changed, faults = [], []
    for path in paths:
        page_changes, page_faults = refresh(path)
        changed += page_changes
        faults += page_faults
    print(*(f"{place}: rewritten\n" for place in changed), sep="", end="")
    print(*faults, sep="\n", end="\n" * bool(faults), file=sys.stderr)
    print(f"{len(changed)} rewritten, {len(faults)} cannot be run")
    return len(faults)
