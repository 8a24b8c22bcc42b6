"""How soon an edit is seen and how long builds take, beside other programs on the same pages.

Everything is measured in one run on copies of the checkout, so that ratios hold on any machine.
"""

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rlhf_explained import memo
from rlhf_explained.pipeline import RunConfig, run_key
from tests.test_build import environment

EDITS = 10  # of each kind
PAIRS = 5  # of builds that are compared
FACTORS = (1, 10, 20, 40)
SPHINX = ("sphinx", "myst-nb", "jupytext")

CONF = """\
extensions = ["myst_nb"]
project = "The same Markdown"
exclude_patterns = ["reference/api"]
nb_execution_mode = "off"
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
myst_enable_extensions = ["dollarmath", "attrs_inline", "attrs_block"]
source_suffix = {".md": "myst-nb", ".py": "myst-nb"}
"""


def copied(root: Path, folder: Path) -> Path:
    """Copy what a site is built from into a new folder, with no more than the run in its cache."""
    for name in ("docs", "rlhf_explained"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, folder / name, ignore=ignored)
    for name in ("mkdocs.yml", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, folder)
    run = Path("runs", run_key(RunConfig()))
    shutil.copytree(memo.root() / run, folder / ".cache" / run)
    return folder


def timed(copy: Path, *command: str) -> tuple[float, float]:
    """Run `python -m …` in a copy: seconds, and the most memory that a process took, in MiB."""
    said = copy / "said.txt"
    with said.open("w") as stream:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=copy, env=environment(copy), stdout=stream, stderr=stream,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has not told it
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said.read_text(encoding='utf-8')[-3000:]}")
    return seconds, used.ru_maxrss / 1024


SITE = ("rlhf_explained", "site")
PLAIN = ("mkdocs", "build", "--quiet", "--config-file", "plain.yml", "--site-dir", "plain")


def plain(copy: Path) -> None:
    """Write a configuration without what is ours: no hooks, no extension, no theme of our own.

    The notebook is shown without being run, which is less work than ours has when it is new.
    """
    text = (copy / "mkdocs.yml").read_text(encoding="utf-8")
    for ours in (
        r"hooks: .*\n", r"watch: .*\n", r"  custom_dir: .*\n", r"  - rlhf_explained\..*\n",
        r"(?<=  - pymdownx.superfences):\n(?:      .*\n)+",
    ):  # fmt: skip
        text, changes = re.subn(ours, "\n" if ours.startswith("(") else "", text)
        assert changes == 1, ours
    text = text.replace("strict: true", "strict: false").replace("execute: true", "execute: false")
    (copy / "plain.yml").write_text(text, encoding="utf-8")


def builds(copy: Path) -> dict[str, Any]:
    """Time cold and warm builds, and warm ones beside plain MkDocs, in turns.

    Gives the seconds of one cold build, its memory in MiB, and medians of the others' seconds.
    """
    plain(copy)
    cold, memory = timed(copy, *SITE)
    pairs = [(timed(copy, *SITE)[0], timed(copy, *PLAIN)[0]) for _ in range(PAIRS)]
    ours, theirs = map(statistics.median, zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for mine, other in pairs)
    return {"cold": cold, "memory_mib": memory, "warm": ours, "plain": theirs, "ratio": ratio}


# From an edit to the page that shows it


@contextmanager
def served(copy: Path) -> Iterator[Callable[[str, str], float]]:
    """Serve a copy while it is edited; gives what waits until a page shows some words."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (copy / "serve.txt").open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "rlhf_explained", "serve", "--port", str(port)],
            cwd=copy, env=environment(copy), stdout=stream, stderr=stream,
            start_new_session=True,
        )  # fmt: skip

    def shows(page: str, words: str) -> float:
        began = time.monotonic()
        while time.monotonic() - began < 300:
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as response,
            ):
                if words in response.read().decode():
                    return time.monotonic() - began
            time.sleep(0.02)
        said = (copy / "serve.txt").read_text(encoding="utf-8")
        raise RuntimeError(f"{page} does not show {words!r}: {said[-3000:]}")

    try:
        shows("", "livereload(")
        yield shows
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# kind: the file, the page that shows it, what is replaced once, by what, and what then is seen;
# {} is a number
KINDS = {
    "prose": (
        "docs/guide/ppo.md", "guide/ppo/",
        "\n## ", "\nEdited {} times.\n\n## ", "Edited {} times.",
    ),
    "figure": (
        "rlhf_explained/figures/chapters/history.py", "guide/history/",
        "str(year)])", "str(year)]) + ' edit {}'", " edit {}<",
    ),
    "snippet": (
        "docs/guide/ppo-by-hand.md", "guide/ppo-by-hand/",
        "```python\n", "```python\nprint('edit', {})\n", "    edit {}\n",
    ),
    "notebook's prose": (
        "docs/notebooks/01_what_is_rlhf.py", "notebooks/01_what_is_rlhf/",
        "# ## ", "# Edit {}.\n#\n# ## ", "Edit {}.",
    ),
}  # fmt: skip


def edits(copy: Path) -> dict[str, dict[str, Any]]:
    """Edit files while the site is served: by kind, seconds until each edit is seen."""
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with served(copy) as shows:
        for number in range(EDITS):
            for kind, (file, page, old, new, shown) in KINDS.items():
                text = (copy / file).read_text(encoding="utf-8")
                edited = text.replace(old, new.format(number), 1)
                (copy / file).write_text(edited, encoding="utf-8")
                took[kind].append(shows(page, shown.format(number)))
                time.sleep(1)  # a person looks at it
                (copy / file).write_text(text, encoding="utf-8")
                time.sleep(2)
    return {
        kind: {"median": statistics.median(seconds), "seconds": seconds}
        for kind, seconds in took.items()
    }


def sphinx(copy: Path, folder: Path) -> dict[str, Any]:
    """Build the same Markdown with Sphinx and myst-nb, in an environment of their own.

    Gives the seconds of a build from nothing, and the median after an edit of a page.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *SPHINX], check=True)
    shutil.copytree(copy / "docs", folder / "docs")
    (folder / "docs" / "conf.py").write_text(CONF, encoding="utf-8")
    page = folder / "docs" / "guide" / "ppo.md"
    text = page.read_text(encoding="utf-8")

    def build() -> float:
        began = time.monotonic()
        command = [python, "-m", "sphinx", "-b", "html", "-q", "docs", "html"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        return time.monotonic() - began

    cold, seconds = build(), []
    for number in range(PAIRS):
        page.write_text(f"{text}\nEdited {number} times.\n", encoding="utf-8")
        seconds.append(build())
    html = (folder / "html" / "guide" / "ppo.html").read_text(encoding="utf-8")
    assert f"Edited {PAIRS - 1} times." in html
    return {"cold": cold, "edit": statistics.median(seconds), "seconds": seconds}


# More pages


def grow(copy: Path, factor: int) -> int:
    """Repeat a copy's guide, each time with figures of its own, and count its pages."""
    guide = sorted((copy / "docs" / "guide").glob("*.md"))
    nav = []
    for number in range(2, factor + 1):
        folder = copy / "docs" / f"guide-{number}"
        folder.mkdir()
        for page in guide:
            text = page.read_text(encoding="utf-8")
            own = re.sub(r"(?m)^(```figure\n[\w-]+)$", rf"\1-{number}", text)
            (folder / page.name).write_text(own, encoding="utf-8")
        pages = "".join(f"      - guide-{number}/{page.name}\n" for page in guide)
        nav.append(f"  - Guide {number}:\n{pages}")
    config = copy / "mkdocs.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("  - Notebooks:\n", f"{''.join(nav)}  - Notebooks:\n", 1))
    with (copy / "rlhf_explained" / "figures" / "__init__.py").open("a") as stream:
        stream.write(
            f"\nfrom dataclasses import replace\nfor _figure in list(FIGURES.values()):\n"
            f"    for _name in (f'{{_figure.name}}-{{n}}' for n in range(2, {factor + 1})):\n"
            f"        FIGURES[_name] = replace(_figure, name=_name)\n"
        )
    return len([*(copy / "docs").rglob("*.md"), *(copy / "docs" / "notebooks").glob("*.py")])


def growth(root: Path, folder: Path, factors: Sequence[int] = FACTORS) -> list[dict[str, Any]]:
    """Time builds of sites with more and more guides beside plain MkDocs: seconds and MiB."""
    rows = []
    for factor in factors:
        copy = copied(root, folder / str(factor))
        pages = grow(copy, factor)
        plain(copy)
        cold, most = timed(copy, *SITE)
        pairs = [(timed(copy, *SITE), timed(copy, *PLAIN)) for _ in range(3)]
        ours, theirs = ([pair[side][0] for pair in pairs] for side in (0, 1))
        row = {
            "factor": factor, "pages": pages, "cold": cold, "cold_memory_mib": most,
            "warm": statistics.median(ours), "warm_memory_mib": pairs[0][0][1],
            "plain": statistics.median(theirs), "plain_memory_mib": pairs[0][1][1],
            "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        }  # fmt: skip
        rows.append(row)
        print(f"{pages} pages: {row['ratio']:.2f} of plain MkDocs", file=sys.stderr, flush=True)
        shutil.rmtree(copy)
    return rows
