"""`make bench`: training, edits and builds, larger sites, GRPO beside TRL's trainer."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from rlhf_explained.site.shown_run import current_run
from tests.bench import beside_trl, builds, first_view, training

ROOT = Path(__file__).resolve().parents[2]
# "run" after those that watch memory: what a process starts counts the process's own
PARTS = ("site", "view", "growth", "run", "trl")


@click.command()
@click.option("--only", type=click.Choice(PARTS), multiple=True)
def main(only: tuple[str, ...]) -> None:
    """Time the run, edits and builds, first views, larger sites, GRPO beside TRL: bench.json."""
    try:
        bench(ROOT, only or PARTS)
    except beside_trl.SetUpError as error:
        raise click.ClickException(str(error)) from None


def bench(root: Path, parts: Sequence[str]) -> None:
    """Measure, print tables, and put what was measured into `bench.json`, beside what was before.

    All else is measured before a `SetUpError` says that no environment for TRL can be made.
    """
    current_run()
    for part in PARTS:
        if part in parts:
            with tempfile.TemporaryDirectory() as folder:
                _save(root / "bench.json", _measure(part, root, Path(folder)))
            _print(json.loads((root / "bench.json").read_text(encoding="utf-8")), part)


def _measure(part: str, root: Path, folder: Path) -> dict[str, Any]:
    """One part of the report."""
    if part == "growth":
        return {"growth": builds.growth(root, folder)}
    if part == "site":
        copy = builds.copied(root, folder / "site")
        return {
            "builds": builds.builds(copy),
            "edits": builds.edits(copy),
            "sphinx": builds.sphinx(copy, folder),
        }
    if part == "view":
        return {"view": first_view.measure(folder)}
    if part == "trl":
        return {"trl": beside_trl.measure(root)}
    return {"run": training.bench()}


def _save(path: Path, measured: dict[str, Any]) -> None:
    """Put it into the file, beside what was measured before, at once or not at all."""
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as fresh:
        fresh.write(json.dumps(report | measured, indent=1) + "\n")
    Path(fresh.name).replace(path)


def _print(report: dict[str, Any], part: str) -> None:
    if part == "site":
        rows = [
            ("cold build, the run is there", report["builds"]["cold"], ""),
            ("warm build", report["builds"]["warm"], f"{report['builds']['ratio']:.2f} of plain"),
            ("warm build of plain MkDocs", report["builds"]["plain"], ""),
            *(
                (f"an edit seen: {kind}", one["median"], "")
                for kind, one in report["edits"].items()
            ),
            ("an edit built by Sphinx", report["sphinx"]["edit"], ""),
        ]
        _table("Seconds on the whole site", ("what", "seconds", "ratio"), rows)
    for title, table, names in (
        ("More guides", "growth", ("factor", "pages", "cold", "warm", "plain", "ratio",
                                   "cold_memory_mib", "warm_memory_mib")),
        ("On a slow phone", "view", ("page", "kib", "quick_loads", "performance")),
    ):  # fmt: skip
        if part == table:
            _table(title, names, [[row[name] for name in names] for row in report[part]])
    if part == "trl":
        title, headings, rows = beside_trl.table(report["trl"])
        _table(title, headings, rows)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(title=title)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(f"{it:.2f}" if isinstance(it, float) else str(it) for it in row))
    Console().print(table)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench")
