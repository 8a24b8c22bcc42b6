"""Mutation testing: mutmut changes the formulas in every small way, and a test has to fail.

A mutant that survives is a hole in the tests, or no mistake at all. `EXPLAINED` lists the latter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARE = 0.95  # of the mutants, to be killed

# The tests of each mutant run in a fork of a process that has imported all of them, which takes
# seconds. jaxtyping's own option refuses a package that is imported already; its hook does not.
CONFTEST = """\
from jaxtyping import install_import_hook

install_import_hook("rlhf_explained", "beartype.beartype")
"""

SETTINGS = """\
[tool.mutmut]
source_paths = ["{package}"]
only_mutate = ["{mutated}"]
also_copy = ["conftest.py"]
process_isolation = "forkserver"
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:jaxtyping", "-p", "no:xdist"]
timeout_multiplier = 1.0
timeout_constant = 300.0
use_git_change_detection = false

[tool.pytest.ini_options]
filterwarnings = ["error", "ignore::pytest.PytestAssertRewriteWarning"]
"""


@dataclass(frozen=True, order=True)
class Mutant:
    """A change of a function, named by the words that change: numbers would shift.

    Attributes:
        function: Module and name.
        old: The lines that it loses.
        new: The lines that it gains.
    """

    function: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.function}:\n  - {self.old}\n  + {self.new}"


@dataclass
class Outcome:
    """How many mutants were killed, and how each of the others got away."""

    killed: int = 0
    survivors: dict[Mutant, str] = field(default_factory=dict)


NEVER_READ = "what was filled in here is multiplied by a probability of 0, or not read at all"
ROUNDING = "where agreement ends is chosen, a few roundings from the next choice"
ONE_AXIS = "the tensor has two dimensions here, or one: counted from either end it is the same"


def _explained() -> Iterator[tuple[Mutant, str]]:
    """The mutants that change nothing a test could see, and why."""

    def change(function: str, line: str, old: str, new: str) -> Mutant:
        assert line.count(old) == 1, line
        return Mutant(function, line, line.replace(old, new))

    ratio = "log_ratio = logprobs.masked_fill(~written, 0) - ref_logprobs.masked_fill(never, 0)"
    yield change("kl.kl_exact", ratio, "written, 0", "written, 1"), NEVER_READ
    yield change("kl.kl_exact", ratio, "never, 0", "never, 1"), NEVER_READ
    finite = "check_finite(**{name: tensor.masked_fill(tensor == -math.inf, 0)})"
    yield change("kl._check_distribution", finite, ", 0)", ", 1)"), "1 is as finite as 0"
    wrong = "wrong = (total - 1).abs() > (0.05 if tensor.itemsize == 2 else 1e-3)"
    yield (
        change("kl._check_distribution", wrong, ">", ">="),
        "no number of 32 bits is exactly that far from 1",
    )
    surprise = "surprise = -logprobs.masked_fill(probabilities == 0, 0)"
    yield change("logprobs.entropy", surprise, ", 0", ", 1"), NEVER_READ
    yield (
        change("masking.masked_whiten", "filled = filled / scale.where(scale > 0, 1)", "1)", "2)"),
        "the largest is 0, so all that is divided is",
    )
    rounds = "for _ in range(2):  # the second round takes out the first mean's rounding error"
    yield (
        change("masking.masked_whiten", rounds, "range(2)", "range(3)"),
        "a third round takes out what is left of it, which is no more than the test allows",
    )
    agree = "agree = spread <= 4 * torch.finfo(values.dtype).eps"
    yield change("masking.masked_whiten", agree, "<=", "<"), ROUNDING
    yield change("masking.masked_whiten", agree, "4", "5"), ROUNDING
    whitened = "whitened = (centred / variance.where(~agree, 1).sqrt()).masked_fill(agree, 0)"
    yield change("masking.masked_whiten", whitened, "1)", "2)"), NEVER_READ
    for argument in ("None, ", ""):
        yield (
            change(
                "advantages.kl_shaped_rewards", "check_tensors(1, scores=scores)", "1, ", argument
            ),
            "the tests run with jaxtyping's checks, which refuse such scores before",
        )
    size = "scale = _power_of_two((high / 4 - low / 4).clamp(min=torch.finfo(groups.dtype).tiny))"
    for term in ("high / ", "low / "):
        yield (
            change("advantages.group_advantages", size, f"{term}4", f"{term}5"),
            "any power of two near the spread will do",
        )
    agreed = "groups = (groups / scale).masked_fill(agree, 0)"
    yield (
        change("advantages.group_advantages", agreed, ", 0", ", 1"),
        "scores that are all 1 agree as well as those that are all 0",
    )
    std = "std = groups.var(dim=1, keepdim=True).where(~agree, 1).sqrt()"
    yield change("advantages.group_advantages", std, ", 1)", ", 2)"), NEVER_READ
    tokens = "tokens = tokens.long().masked_fill(~response_mask, 0)"
    yield (
        change("losses.sft_loss", tokens, ", 0", ", 1"),
        "token 1 is as good as token 0 where none is read, but in a vocabulary of one",
    )
    written = "written = tokens[response_mask].unsqueeze(-1)"
    banned = "banned = counted_logits.detach().gather(-1, written).squeeze(-1) == -math.inf"
    loss = "loss = -counted_logits.log_softmax(dim=-1).gather(-1, written).mean()"
    for line, call in (
        (written, "unsqueeze("),
        (banned, "gather("),
        (banned, "squeeze("),
        (loss, "dim="),
        (loss, "gather("),
    ):
        yield change("losses.sft_loss", line, f"{call}-1", f"{call}+1"), ONE_AXIS
    yield (
        change("checks.check_mask", "if mask.ndim > 1:", ">", ">="),
        "of one dimension, a mask that counts nothing has been refused by then",
    )
    logits = "logits = logits.masked_fill(~mask.unsqueeze(-1), 0)"
    yield change("checks.check_logits", logits, ", 0", ", 1"), "1 is as finite as 0"


EXPLAINED = dict(_explained())


def mutmut(folder: Path, *arguments: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mutate(folder: Path, package: str, mutated: str) -> Outcome:
    """Mutate files of the package in a folder, and run the tests in its `tests/` on each mutant."""
    settings = SETTINGS.format(package=package, mutated=mutated)
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    mutmut(folder, "run")
    outcome = Outcome()
    for line in mutmut(folder, "results", "--all", "1").splitlines():
        name, status = line.strip().split(": ")
        if status == "killed":
            outcome.killed += 1
            continue
        changes = mutmut(folder, "show", name).splitlines()[3:]  # after the heads of the diff
        old, new = (
            "\n".join(line[1:].strip() for line in changes if line.startswith(sign))
            for sign in "-+"
        )
        module, function = name.rpartition("__mutmut_")[0].split(".x_")
        outcome.survivors[Mutant(f"{module.rpartition('.')[2]}.{function}", old, new)] = status
    return outcome


def faults(outcome: Outcome, explained: dict[Mutant, str]) -> str:
    """What is wrong with it, in words, or nothing."""
    told = [
        f"{status}: {mutant}" for mutant, status in outcome.survivors.items()
        if mutant not in explained
    ]  # fmt: skip
    told += [f"no survivor: {mutant}" for mutant in explained if mutant not in outcome.survivors]
    share = outcome.killed / (outcome.killed + len(outcome.survivors))
    if share < SHARE:
        told.append(f"{share:.1%} are killed, {SHARE:.0%} have to be")
    return "\n".join(told)


@pytest.mark.soak
def test_every_mutant_of_the_formulas_is_killed_or_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rlhf_explained", tmp_path / "rlhf_explained", ignore=ignored)
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    for path in (ROOT / "tests").glob("*.py"):
        if path.stem in ("conftest", "places") or path.stem.startswith("test_formulas"):
            shutil.copy(path, tmp_path / "tests")
    outcome = mutate(tmp_path, "rlhf_explained", "rlhf_explained/formulas/*.py")
    killed, survived = outcome.killed, len(outcome.survivors)
    with capsys.disabled():
        print(f"\n{killed} of {killed + survived} mutants of the formulas killed,", end=" ")
        print(f"{survived} survived, in {time.monotonic() - began:.0f} s")
    assert not faults(outcome, EXPLAINED), faults(outcome, EXPLAINED)


def test_a_mutant_that_no_test_sees_is_told(tmp_path: Path) -> None:
    """Of two functions one is tested; a listed survivor that is none is told too."""
    (tmp_path / "conftest.py").touch()
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up/halves.py").write_text(
        "def half(x):\n    return x / 2\n\n\ndef double(x):\n    return x * 2\n", encoding="utf-8"
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_halves.py").write_text(
        "from made_up.halves import double, half\n\n\n"
        "def test_half():\n    assert half(6) == 3\n\n\n"
        "def test_double():\n    assert double(2)\n",
        encoding="utf-8",
    )
    outcome = mutate(tmp_path, "made_up", "made_up/*.py")
    unseen = [
        Mutant("halves.double", "return x * 2", f"return x {change}") for change in ("/ 2", "* 3")
    ]
    assert outcome == Outcome(killed=2, survivors=dict.fromkeys(unseen, "survived"))
    explained = dict.fromkeys(unseen, "nobody looks")
    assert faults(outcome, explained) == "50.0% are killed, 95% have to be"
    outcome.killed = 50
    assert faults(outcome, explained) == ""
    assert faults(outcome, {unseen[0]: "nobody looks"}) == f"survived: {unseen[1]}"
    seen = Mutant("halves.half", "return x / 2", "return x * 2")
    assert faults(outcome, {**explained, seen: "it does not matter"}) == f"no survivor: {seen}"
