"""Floor 5: sweeps over settings and seeds, too heavy for a build, and what came out of them.

`make studies` measures every point, a setting with a seed, and stores the results in this package;
pages only read them, which needs no torch. A stored result says how it came about, and whether the
code has changed since: then `make test` measures a point of the study again, else `make soak`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlhf_explained import memo, pipeline
from rlhf_explained.studies.intervals import Interval

STUDIES = (
    "methods",
    "shortcuts",
    "early_stopping",
    "ablations",
    "curation",
    "reward_data",
    "frontier",
    "verifiable",
    "grpo_symptoms",
    "second_round",
)
"""The modules of this package. Each has `SETTINGS`, by name; `SEEDS`; `measure(name, seed)`, which
returns numbers by name; and `SAMPLE`, the setting that is measured again."""

OF_TRL = ("trl_draws",)
"""The same, but measured where TRL is installed, and only when asked for."""

Row = dict[str, Any]

_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Results:
    """What a study measured.

    Attributes:
        name: Of the study.
        date: On which it was stored.
        source: Digest of the code that measured.
        config: The settings, by name.
        rows: One of each setting and seed, with `setting`, `seed` and what was measured.
    """

    name: str
    date: str
    source: str
    config: dict[str, Any]
    rows: list[Row]

    @property
    def seeds(self) -> list[int]:
        """All seeds, from the lowest."""
        return sorted({row["seed"] for row in self.rows})

    @cached_property
    def is_stale(self) -> bool:
        """Whether the code that measured has changed since."""
        return self.source != source_digest(self.name)

    @property
    def fingerprint(self) -> str:
        """Differs where a page that shows the results would differ."""
        content = results_file(self.name).read_text(encoding="utf-8")
        return hashlib.sha256(f"{self.is_stale}{content}".encode()).hexdigest()

    @property
    def origin(self) -> str:
        """Where the numbers come from, in a few words for a page."""
        stale = " · code changed since" if self.is_stale else ""
        return f"{len(self.seeds)} seeds · {self.date}{stale}"

    def values(self, setting: str, quantity: str) -> list[float]:
        """What was measured with a setting, in the order of the seeds.

        Args:
            setting: Its name.
            quantity: What was measured.

        Returns:
            One number of each seed.

        Raises:
            ValueError: If the study has no such setting or quantity.
        """
        rows = sorted((r for r in self.rows if r["setting"] == setting), key=lambda r: r["seed"])
        if not rows:
            raise ValueError(f"setting: {setting!r} is none of {', '.join(self.config)}")
        if quantity not in rows[0]:
            raise ValueError(f"quantity: {quantity!r} is none of {', '.join(rows[0])}")
        return [float(row[quantity]) for row in rows]

    def interval(self, setting: str, quantity: str) -> Interval:
        """The mean over the seeds with its interval; as `values`."""
        return Interval.of(self.values(setting, quantity))

    def difference(self, setting: str, other: str, quantity: str) -> Interval:
        """By how much a setting is above another, compared seed by seed; as `values`."""
        pairs = zip(self.values(setting, quantity), self.values(other, quantity), strict=True)
        return Interval.of([one - two for one, two in pairs])


def stored(name: str) -> Results:
    """Read what a study measured.

    Args:
        name: One of `STUDIES`.

    Returns:
        The stored results.

    Raises:
        ValueError: If there is no such study, or it was never run.
    """
    file = results_file(name)
    if not file.is_file():
        raise ValueError(f"name: the study {name!r} has no results; run `make studies`")
    content = json.loads(file.read_text(encoding="utf-8"))
    return Results(name, content["date"], content["source"], content["config"], content["rows"])


def results_file(name: str) -> Path:
    """Where a study's results are stored.

    Args:
        name: One of `STUDIES`.

    Returns:
        A JSON file of this package.

    Raises:
        ValueError: If there is no such study.
    """
    if name not in (*STUDIES, *OF_TRL):
        raise ValueError(f"name: {name!r} is none of {', '.join((*STUDIES, *OF_TRL))}")
    return _RESULTS / f"{name}.json"


def source_digest(name: str) -> str:
    """Digest of the code that decides what a study measures: all that its module imports.

    Args:
        name: One of `STUDIES`.

    Returns:
        20 hexadecimal digits.
    """
    return pipeline.source_digest(Path(__file__).with_name(f"{name}.py"))[:20]


def points(name: str) -> list[tuple[str, int]]:
    """All points of a study, those of one seed together.

    Args:
        name: One of `STUDIES`.

    Returns:
        Pairs of a setting's name and a seed.
    """
    study = importlib.import_module(f"{__name__}.{name}")
    return [(setting, seed) for seed in study.SEEDS for setting in study.SETTINGS]


def point(name: str, setting: str, seed: int) -> Row:
    """Measure one point, or recall what was measured there with this code.

    Args:
        name: One of `STUDIES`.
        setting: The setting's name.
        seed: Source of all randomness.

    Returns:
        What was measured, by name.
    """
    from rlhf_explained.training import one_thread

    study = importlib.import_module(f"{__name__}.{name}")
    circumstances = {"source": source_digest(name), "setting": setting, "seed": seed}
    key = memo.key(**circumstances, **pipeline.numerics())

    def make(folder: Path) -> None:
        with one_thread():
            measured = study.measure(setting, seed)
        (folder / "point.json").write_text(json.dumps(measured), encoding="utf-8")

    folder = memo.entry("points", key, make)
    return json.loads((folder / "point.json").read_text(encoding="utf-8"))


def run(name: str, progress: Callable[[int, int], None] = lambda done, all_: None) -> Results:
    """Measure all points of a study on all cores, and store the results.

    What was measured before it was interrupted is not measured again.

    Args:
        name: One of `STUDIES`.
        progress: Told how many points are done, and how many there are.

    Returns:
        What is stored now.
    """
    import joblib

    study, todo = importlib.import_module(f"{__name__}.{name}"), points(name)
    rows: list[Row] = []
    progress(0, len(todo))
    in_parallel = joblib.Parallel(n_jobs=-1, return_as="generator_unordered")
    # The runs first: all points of a seed would wait for the one that trains it.
    runs = (joblib.delayed(_run)(seed) for seed in study.SEEDS)
    list(in_parallel(runs))  # pyright: ignore
    tasks = (joblib.delayed(_point)(name, setting, seed) for setting, seed in todo)
    measured: Any = in_parallel(tasks)
    for row in measured:
        rows.append(row)
        progress(len(rows), len(todo))
    order = {pair: place for place, pair in enumerate(todo)}
    rows.sort(key=lambda row: order[row["setting"], row["seed"]])
    content = {
        "study": name,
        "date": date.today().isoformat(),
        "source": source_digest(name),
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "machine": platform.machine(),
        "config": {key: _in_json(setting) for key, setting in study.SETTINGS.items()},
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    lines = ",\n".join(json.dumps(_rounded(row), separators=(",", ":")) for row in rows)
    text = "{\n" + ",\n".join(parts) + f',\n"rows": [\n{lines}\n]\n}}\n'
    file = results_file(name)
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)
    return stored(name)


def _run(seed: int) -> None:
    pipeline.run(pipeline.RunConfig(seed=seed))


def _point(name: str, setting: str, seed: int) -> Row:
    return {"setting": setting, "seed": seed, **point(name, setting, seed)}


def _in_json(setting: Any) -> Any:
    return asdict(setting) if is_dataclass(setting) and not isinstance(setting, type) else setting


def _rounded(value: Any) -> Any:
    """Six digits of every number, however deep it lies; 1 for 1.0."""
    match value:
        case float():
            short = float(f"{value:.6g}")
            return int(short) if short.is_integer() else short
        case dict():
            return {key: _rounded(part) for key, part in value.items()}
        case list():
            return [_rounded(part) for part in value]
    return value
