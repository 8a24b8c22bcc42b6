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
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rlhf_explained.disk import shown, writing
from rlhf_explained.site.faults import no_python
from rlhf_explained.site.snippets.find import UNSEEN, Snippet, find

FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1 | doctest.DONT_ACCEPT_BLANKLINE
CURE = "cure: if the code is right, run `make outputs` and read what it changed"
PATIENCE = 900  # seconds that a piece of code may take

Piece = tuple[str, int, str]  # code, its first line on the page from 0, and its fence's language
# What a piece printed; the last line of what it raised; all of that, or what went to standard
# error, such as what a thread raised; and where on the page, from 1. None: Python ended.
Ran = tuple[str, str, str, int | None] | None

OTHERS = ["torch", "jaxtyping"]  # what takes seconds to import; nothing of ours


@dataclass
class Result:
    """What came of running a snippet.

    Attributes:
        line: Where the snippet begins, from 0.
        faults: What did not hold, each with file and line.
        edits: What would mend those that are about output: first line, line after, new lines.
        raised: Whether the code failed, so that nothing below it on the page can be trusted.
    """

    line: int
    faults: list[str] = field(default_factory=list)
    edits: list[tuple[int, int, list[str]]] = field(default_factory=list)
    raised: bool = False


def results(
    path: Path, *, seed: int, patience: int = PATIENCE, start: str = "forkserver"
) -> Generator[Result, None, None]:
    """Run a page as a script of its own.

    Args:
        path: A Markdown page or a module of the package.
        seed: Where the global generators start, another number in the tests than in `make outputs`:
            what a page prints from them is another thing for each reader, so it must fail.
        patience: How many seconds each piece of code may take.
        start: How its process begins; `fork` where this one has seen no other page.

    Yields:
        What came of each snippet that is not skipped, in order; one for a file that is no Python.
    """
    try:
        found = find(path.read_text(encoding="utf-8"), python=path.suffix == ".py")
    except SyntaxError as error:
        error.filename = str(path)
        yield Result(0, [no_python(error)], raised=True)
        return
    plans = [(snippet, *_examples(snippet)) for snippet in found if not snippet.skip]
    pieces = [(one.source, one.lineno, it.language) for it, every, *_ in plans for one in every]
    ran = _run(path, pieces, seed, patience, start)
    for snippet, examples, line, what in plans:
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
    path: Path, pieces: Sequence[Piece], seed: int, patience: int, start: str
) -> Iterator[Ran]:
    """Run pieces of code one after the other in a process of their own."""
    if not pieces:
        return
    context: Any = multiprocessing.get_context(start)
    context.set_forkserver_preload(OTHERS)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(path, pieces, seed, {**os.environ}, sender))
    process.start()
    sender.close()
    try:
        with contextlib.suppress(EOFError):
            receiver.recv()  # now it has begun: imports may take their time on a busy machine
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
    path: Path, pieces: Sequence[Piece], seed: int, environment: dict[str, str], sender: Connection
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
    sender.send("begun")
    complaints, heard = io.StringIO(), 0  # of the whole page: a thread may be late
    threading.excepthook = lambda it: complaints.write("".join(traceback.format_exception(it[1])))
    for place, (code, line, language) in enumerate(pieces, 1):
        printed, error, lines = io.StringIO(), "", []
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaints):
            try:
                # the empty lines make tracebacks name the page's own lines
                mode = "exec" if language == "python" else "single"
                exec(compiler("\n" * line + code, str(path), mode), vars(main))
            except (Exception, SystemExit) as raised:
                error = traceback.format_exception_only(raised)[-1].strip()
                complaints.writelines(traceback.format_exception(raised)[-12:])
            for thread in threading.enumerate() if place == len(pieces) else ():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
            gc.collect()  # a file that was left open complains now
        details = complaints.getvalue()[heard:].strip()
        heard = len(complaints.getvalue())
        lines = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', details)
        sender.send((printed.getvalue(), error, details, int(lines[-1]) if lines else None))


def _judge(snippet: Snippet, example: doctest.Example, ran: Ran, file: str, result: Result) -> None:
    """Add to the result what is wrong with what a piece of code did, and what would mend it."""
    is_doctest = snippet.language == "pycon"
    line = example.lineno if is_doctest else snippet.line
    if what := _wrong(ran, is_expected=bool(example.exc_msg)):
        result.faults.append(f"{file}:{ran[3] if ran and ran[3] else line + 1}: {what}")
        result.raised = True
        return
    assert ran
    flags, want, got = FLAGS, _lines(example.want), _lines(ran[0])
    for flag, is_set in example.options.items():
        flags = flags | flag if is_set else flags & ~flag
    if is_doctest:
        got = [printed or "<BLANKLINE>" for printed in got]
    if example.exc_msg and ran[1]:
        got = ["Traceback (most recent call last):", "    ...", *_lines(ran[1])]
        want = got[:2] + _lines(example.exc_msg)
    if _agree(want, got, flags) and (is_doctest or bool(got) == bool(snippet.output)):
        return
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
    both = [*(f"    {text}" for text in want), "printed:", *(f"    {text}" for text in got), CURE]
    result.faults.append("\n".join([f"{file}:{line + 1}: {what}", "expected:", *both]))
    result.edits.append((first, end, [(prefix + text).rstrip() for text in fresh]))


def _wrong(ran: Ran, *, is_expected: bool) -> str:
    """Say what no author can have meant, whatever the page shows; nothing if all is well."""
    if ran is None:
        return "this code, or what is above it, ends Python or never ends: mend it"
    printed, error, details, _ = ran
    if error and not is_expected:
        return f"this code raises {error}; mend it\n{details}"
    if details and not error:
        last = details.split("\n")[-1]
        return f"this code writes to standard error: {last}; mend it\n{details}"
    unseen = UNSEEN.search(printed)
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
        fresh.append(line if place is None else old[place])
        del old[: 0 if place is None else place + 1]
    return fresh


def refresh(paths: Iterable[Path]) -> int:
    """Rewrite Output blocks and doctest results that do not hold; show and list what changed.

    Nothing is rewritten below code that raises, nor where it would be read as something else.

    Args:
        paths: Of Markdown pages and modules.

    Returns:
        How many faults are left that only an author can mend.

    Raises:
        DiskError: If a page cannot be written; it is as it was.
    """
    changed: list[str] = []
    faults: list[str] = []
    for path in paths:
        edits = []
        with contextlib.closing(results(path, seed=2)) as ran:
            for result in ran:
                edits += result.edits
                if result.raised:
                    faults += result.faults
                    break
        text, file, python = path.read_text(encoding="utf-8"), shown(path), path.suffix == ".py"
        lines = text.split("\n")
        for first, end, fresh in sorted(edits, reverse=True):
            lines[first:end] = fresh
        if not edits:
            continue
        if _is_read_back(text, "\n".join(lines), python=python):
            _replace(path.resolve(), "\n".join(lines))
            print(*difflib.unified_diff(text.split("\n"), lines, file, file, lineterm=""), sep="\n")
            changed += [f"{file}:{first + 1}: rewritten" for first, *_ in edits]
        else:
            what = "what this prints would end the fence around it: give that fence longer marks"
            faults.append(f"{file}:{edits[0][0] + 1}: {what}")
    print(*changed, f"{len(changed)} rewritten, {len(faults)} cannot be run", sep="\n")
    print(*faults, sep="\n", end="\n" * bool(faults), file=sys.stderr)
    return len(faults)


def _is_read_back(text: str, fresh: str, *, python: bool) -> bool:
    """Whether a rewritten page has the snippets that it had, and none that was printed."""
    try:
        before, after = (find(one, python=python) for one in (text, fresh))
    except SyntaxError:
        return False
    return [one.language for one in before] == [one.language for one in after]


def _replace(path: Path, text: str) -> None:
    """Write a page beside itself, with the line ends that it has, and let that take its place."""
    ends = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    fresh = path.with_name(f".{path.name}.new")
    with contextlib.ExitStack() as after, writing(path.parent):
        after.callback(fresh.unlink, missing_ok=True)
        fresh.write_text(text, encoding="utf-8", newline=ends)
        shutil.copymode(path, fresh)
        fresh.replace(path)
