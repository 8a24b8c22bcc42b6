"""Mutation testing: mutmut changes the formulas in every small way, and a test has to fail.

A mutant that survives is a hole in the tests, or no mistake at all. `EXPLAINED` lists the latter.
"""

import os
import shutil
import subprocess
import sys
import time
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
AS_FINITE = "1 is as finite as 0"
ROUNDING = "a few roundings apart, which is no more than the tests allow"
CHOSEN = "any number near this one will do"
ONE_AXIS = "the tensor has two dimensions here, or one: counted from either end it is the same"

# Function and line; why no test can see these changes of it; the changes.
_EXPLAINED: list[tuple[str, str, str, *tuple[tuple[str, str], ...]]] = [
    ("kl.kl_exact",
     "log_ratio = logprobs.masked_fill(~written, 0) - ref_logprobs.masked_fill(never, 0)",
     NEVER_READ, ("written, 0", "written, 1"), ("never, 0", "never, 1")),
    ("kl._check_distribution",
     "check_finite(**{name: tensor.masked_fill(tensor == -math.inf, 0)})",
     AS_FINITE, (", 0)", ", 1)")),
    ("kl._check_distribution",
     "wrong = (total - 1).abs() > (0.05 if tensor.itemsize == 2 else 1e-3)",
     "no number of 32 bits is exactly that far from 1", (">", ">=")),
    ("logprobs.token_logprobs",
     "fitted(logprobs.detach().masked_fill(banned, 0), logits=logits)",
     AS_FINITE, (", 0)", ", 1)")),
    ("logprobs.entropy", "surprise = -logprobs.masked_fill(probabilities == 0, 0)",
     NEVER_READ, (", 0", ", 1")),
    ("masking.mean_of_counted",
     "return mean if mean.isfinite() else (filled / count).sum()"
     "  # the sum may overflow, not the mean",
     ROUNDING, ("mean.isfinite()", "(mean.isfinite()) and False")),
    ("masking.masked_whiten", "filled = filled / scale.where(scale > 0, 1)",
     "the largest is 0, so all that is divided is", ("1)", "2)")),
    ("masking.masked_whiten",
     "for _ in range(2):  # the second round takes out the first mean's rounding error",
     ROUNDING, ("range(2)", "range(3)")),
    ("masking.masked_whiten", "agree = spread <= 4 * torch.finfo(values.dtype).eps",
     CHOSEN, ("<=", "<"), ("4", "5")),
    ("masking.masked_whiten",
     "whitened = (centred / variance.where(~agree, 1).sqrt()).masked_fill(agree, 0)",
     NEVER_READ, ("1)", "2)")),
    ("advantages.kl_shaped_rewards", "check_tensors(1, scores=scores)",
     "the tests run with jaxtyping's checks, which refuse such scores before",
     ("1, ", "None, "), ("1, ", "")),
    ("advantages._power_of_two", "return size / size.frexp().mantissa", ROUNDING, ("/", "*")),
    ("advantages.group_advantages", "groups = (groups / scale).masked_fill(agree, 0)",
     "scores that are all 1 agree as well as those that are all 0", (", 0", ", 1")),
    ("advantages.group_advantages",
     "std = groups.var(dim=1, keepdim=True).where(~agree, 1).sqrt()",
     NEVER_READ, (", 1)", ", 2)")),
    ("losses.sft_loss", "tokens = tokens.long().masked_fill(~response_mask, 0)",
     "token 1 is as good as token 0 where none is read, but in a vocabulary of one",
     (", 0", ", 1")),
    ("losses.sft_loss", "written = tokens[response_mask].unsqueeze(-1)",
     ONE_AXIS, ("unsqueeze(-1", "unsqueeze(+1")),
    ("losses.sft_loss",
     "banned = counted_logits.detach().gather(-1, written).squeeze(-1) == -math.inf",
     ONE_AXIS, ("gather(-1", "gather(+1"), ("squeeze(-1", "squeeze(+1")),
    ("losses.sft_loss", "loss = -counted_logits.log_softmax(dim=-1).gather(-1, written).mean()",
     ONE_AXIS, ("dim=-1", "dim=+1"), ("gather(-1", "gather(+1")),
    ("losses.ppo_policy_loss", "stop = torch.full_like(log_ratio, math.log1p(clip_range) + 1)",
     CHOSEN, ("+ 1)", "+ 2)")),
    ("losses.kto_loss", "return fitted(loss, **sequences, beta=beta, kl=kl)",
     "it lies between 0 and 1, so nothing overflows that would be named",
     ("beta=beta, ", ""), ("kl=kl", "")),
    ("checks.check_mask", "if mask.ndim > 1:",
     "of one dimension, a mask that counts nothing has been refused by then", (">", ">=")),
    ("checks.check_logits", "logits = logits.masked_fill(~mask.unsqueeze(-1), 0)",
     AS_FINITE, (", 0", ", 1")),
]  # fmt: skip
EXPLAINED = {
    Mutant(function, line, line.replace(*change).strip()): why
    for function, line, why, *changes in _EXPLAINED
    for change in changes
}


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
