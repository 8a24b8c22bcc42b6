"""Whatever is wrong on a page, its author is told what, where, why and how to mend it, soon.

One fault of each kind is planted in every test run, all of them by `make soak`.
"""

import re
import resource
import statistics
from pathlib import Path

import pytest

from tests.faults.conftest import Command
from tests.faults.planted import FAULTS, SUMMARY, Fault

SECONDS = 5  # of processor time to the message, on average; so a busy machine fails no test
EVERY = {f"{kind}: {name}": one for kind, some in FAULTS.items() for name, one in some.items()}
FIRST = {kind: next(iter(faults.values())) for kind, faults in FAULTS.items()}
took: list[float] = []


def planted(fault: Fault, text: str) -> str:
    """A file's text with a fault in it."""
    assert not fault.old or fault.old in text, f"{fault.old!r} is not there any more"
    return text.replace(fault.old, fault.new, 1) if fault.old else f"{text}\n{fault.new}\n"


def line_of(words: str, text: str, before: str) -> int:
    """The line where words stand, of those that were not there before if there are such."""
    new = [at for at, line in enumerate(text.split("\n"), 1) if words in line]
    old = [at for at, line in enumerate(before.split("\n"), 1) if words in line]
    return next((at for at in new if at not in old), new[0])


@pytest.mark.parametrize("fault", FIRST.values(), ids=FIRST)
def test_a_fault_of_each_kind_is_told(fault: Fault, copy: Path, command: Command) -> None:
    assert_told(fault, copy, command)


@pytest.mark.soak
@pytest.mark.parametrize("fault", EVERY.values(), ids=EVERY)
def test_every_fault_is_told(fault: Fault, copy: Path, command: Command) -> None:
    assert_told(fault, copy, command)


def spent() -> float:
    """Seconds of processor time that commands have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def assert_told(fault: Fault, copy: Path, command: Command) -> None:
    """Plant a fault, check its page, and look for its place, its reason and its cure."""
    name = fault.file or fault.page
    file, place = copy / name, copy / (fault.place or name)
    sound, before = file.read_text(encoding="utf-8"), place.read_text(encoding="utf-8")
    file.write_text(planted(fault, sound), encoding="utf-8")
    line = line_of(fault.at, place.read_text(encoding="utf-8"), before)
    try:
        before_it = spent()
        done = command("check", fault.page)
        took.append(spent() - before_it)
    finally:
        file.write_text(sound, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    told = re.split(r"(?m)^(?=\S+:\d+: )", done.stderr)
    start = f"{place.relative_to(copy)}:{line}: "
    here = [message for message in told if message.startswith(start)]
    assert any(re.search(fault.says, one) and re.search(fault.cure, one) for one in here), (
        f"{start}{fault.says} … {fault.cure}\nis not in\n{done.stderr}"
    )


@pytest.mark.soak
def test_there_are_forty_of_fifteen_kinds_and_nobody_waits_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(EVERY) >= 40
    assert len(FAULTS) >= 15
    mean = statistics.mean(took)
    with capsys.disabled():
        print(f"\n{len(took)} faults told in {mean:.1f} s on average, {max(took):.1f} at most")
    assert mean <= SECONDS


def test_a_sound_page_is_right(command: Command) -> None:
    done = command("check", SUMMARY)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{SUMMARY} is right \(\d+\.\d s\)\n", done.stdout)
