"""Imports only go downwards, and what a page needs quickly loads nothing slow."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from rlhf_explained import memo

PACKAGE = Path(__file__).parents[1] / "rlhf_explained"

# From the ground up. A module may import from lower floors, and from its own floor what stands
# before it.
FLOORS = (
    ("formulas", "names", "disk", "memo", "parallel"),
    ("world", "models"),
    ("rollout",),
    ("stages",),
    ("training", "pipeline", "walkthrough", "hugging_face"),
    ("studies", "preferences", "measured", "figures", "explore"),
    ("report", "site", "__main__"),
)
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [*PROJECT["dependencies"], *EXTRAS["cluster"], *EXTRAS["trl"]]
DECLARED = {re.split(r"[^\w.-]", one)[0] for one in DECLARED} | {"tokenizers"}  # of transformers
DISTRIBUTIONS = packages_distributions()  # which a module belongs to
HEIGHT = {
    room: (floor, place) for floor, row in enumerate(FLOORS) for place, room in enumerate(row)
}
WITHOUT_TORCH = ("names", "disk", "memo", "pipeline", "studies", "measured", "figures")
WITHOUT_TORCH += ("explore", "site")


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def faults(package: Path) -> list[str]:
    """Each import that goes up, sideways or to matplotlib from below, with file and line."""
    found = []
    for path in sorted(package.rglob("*.py")):
        room, *rest = [*path.relative_to(package).with_suffix("").parts]
        if path == package / "__init__.py":
            continue  # it hands out names of `walkthrough` on request; a test below watches it
        if room not in HEIGHT:
            found.append(f"{path}:1: {room} has no floor")
            continue
        for line, name in memo.imports(path, package):
            top, _, inner = name.partition(".")
            if top == "matplotlib" and HEIGHT[room][0] < HEIGHT["figures"][0]:
                found.append(f"{path}:{line}: {room} may not import matplotlib")
            is_foreign = room != "site" and top not in {*sys.stdlib_module_names, package.name}
            if is_foreign and DECLARED.isdisjoint(DISTRIBUTIONS.get(top, [top])):
                found.append(f"{path}:{line}: {room} may not import {top}: pyproject.toml has none")
            if top != package.name or not inner:
                continue
            target, *target_rest = inner.split(".")
            target = target if target in HEIGHT else "walkthrough"
            if target != room and HEIGHT[target] > HEIGHT[room]:
                found.append(f"{path}:{line}: {room} may not import {target}, which stands above")
            if room == target == "stages" and rest != ["__init__"] and target_rest[:1] != rest:
                found.append(f"{path}:{line}: a stage may not import another stage")
    return found


def with_module(folder: Path, file: str, text: str) -> tuple[Path, Path]:
    """A package of one module, and the module."""
    package = folder / "rlhf_explained"
    path = package / file
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return package, path


def test_imports_go_downwards():
    found = "\n".join(faults(PACKAGE)).replace(f"{PACKAGE.parent}/", "")
    assert not found, found


@pytest.mark.parametrize(
    ("file", "statement", "fault"),
    [
        ("formulas/kl.py", "from rlhf_explained.world import corpus", "may not import world"),
        ("formulas/kl.py", "import rlhf_explained.rollout", "may not import rollout"),
        ("formulas/kl.py", "from rlhf_explained import SimpleSFTModel", "import walkthrough"),
        ("formulas/kl.py", "from ..models.gpt import GPT", "may not import models"),
        ("world/corpus.py", "from rlhf_explained.models.gpt import GPT", "may not import models"),
        ("rollout.py", "def f():\n    from rlhf_explained import pipeline", "import pipeline"),
        ("rollout.py", "def f():\n    import matplotlib.pyplot", "may not import matplotlib"),
        ("stages/ppo.py", "from rlhf_explained.stages.sft import train_sft", "another stage"),
        ("stages/ppo.py", "from .sft import train_sft", "another stage"),
        ("world/corpus.py", "import yaml", "may not import yaml: pyproject.toml has none"),
        ("attic.py", "\nimport math", "attic has no floor"),
    ],
)
def test_an_import_against_the_floors_is_found_with_its_line(tmp_path, file, statement, fault):
    package, path = with_module(tmp_path, file, f"import math\n{statement}\n")
    line = 1 if "attic" in file else 1 + len(statement.splitlines())
    assert [f.startswith(f"{path}:{line}: ") and fault in f for f in faults(package)] == [True]


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("rollout.py", "from rlhf_explained.formulas import gae"),
        ("models/head.py", "from rlhf_explained.world.tokenizer import PAD"),
        ("stages/ppo.py", "from rlhf_explained import memo, rollout"),
        ("stages/__init__.py", "from rlhf_explained.stages.sft import train_sft"),
        ("figures/chapters/ppo.py", "import matplotlib"),
        ("site/hooks.py", "from rlhf_explained.site.faults import shown"),
    ],
)
def test_an_import_along_the_floors_is_not(tmp_path, file, statement):
    assert not faults(with_module(tmp_path, file, statement)[0])


def modules(*rooms: str) -> list[str]:
    """The full names of all modules in these rooms."""
    paths = [
        path for room in rooms for path in [PACKAGE / f"{room}.py", *(PACKAGE / room).rglob("*.py")]
    ]
    return [module_name(path, PACKAGE) for path in paths if path.exists()]


def loaded(names: list[str]) -> set[str]:
    """Which of torch and matplotlib a fresh Python has loaded after importing these modules."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "print(*({'torch', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *names], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def below_the_figures() -> list[str]:
    return modules(*(room for floor in FLOORS[: HEIGHT["figures"][0]] for room in floor))


def quick() -> list[str]:
    rooms = ("figures", "studies", "explore")
    slow = set(modules(*rooms)) - {f"rlhf_explained.{room}" for room in rooms}
    return ["rlhf_explained", *sorted(set(modules(*WITHOUT_TORCH)) - slow)]


@pytest.mark.parametrize(
    ("names", "more", "expected"),
    [
        (below_the_figures, [], {"torch"}),
        (quick, [], set()),  # what a warm build imports
        # and either would be seen
        (below_the_figures, ["matplotlib"], {"torch", "matplotlib"}),
        (quick, ["rlhf_explained.rollout"], {"torch"}),
        (quick, ["matplotlib"], {"matplotlib"}),
    ],
)
def test_what_is_low_or_quick_loads_nothing_slow(names, more, expected):
    assert loaded([*names(), *more]) == expected
