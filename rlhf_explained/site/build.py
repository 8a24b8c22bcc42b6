"""Builds the site.

A build goes into a folder beside `site/` and takes its place only when it is whole and without a
fault, so a reader of `site/` never sees half of one, nor one that is not true.
"""

import logging
import os
import re
import shutil
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from filelock import FileLock

from rlhf_explained.site.faults import line_of, shown

PLACE = re.compile(r"^\S+:\d+: ")


class Log(logging.Handler):
    """Prints what MkDocs and its plugins say, and collects what they warn of, with its place."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.forget()

    def forget(self) -> None:
        """Begin another build."""
        self.faults: list[str] = []
        self._met: Counter[tuple[Path, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message; from a warning on it is a fault."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            message = self.placed(message)
            self.faults.append(message)
        print(f"{record.levelname:<8} {message}", file=sys.stderr, flush=True)

    def placed(self, message: str) -> str:
        """Put file and line before a message that says only in words where it belongs."""
        if PLACE.match(message):
            return message
        quoted = re.findall(r"['\"]([^'\"\n]+)['\"]", message)
        names = [*quoted, *re.findall(r"[\w./-]+\.(?:md|py)\b", message)]
        files = [folder / name for name in names for folder in (self.root / "docs", self.root)]
        # what concerns no page stands in the configuration
        file = next((file for file in files if file.is_file()), self.root / "mkdocs.yml")
        for words in quoted:
            line = line_of(file, re.escape(words), self._met[file, words])
            if line and self.root / "docs" / words != file:
                self._met[file, words] += 1
                return f"{shown(file)}:{line}: {message}"
        return f"{shown(file)}:1: {message}"


def build(root: Path) -> int:
    """Build the site strictly into `site/`, which stays as it was if there is a fault.

    Args:
        root: The checkout.

    Returns:
        The exit code: 0, or 1 with all faults listed on standard error.
    """
    if not (root / "mkdocs.yml").is_file():
        print(f"no mkdocs.yml in {root}: the site is built in a clone", file=sys.stderr)
        return 1
    started = time.monotonic()
    site, fresh, old = root / "site", root / ".site-new", root / ".site-old"
    (root / ".cache").mkdir(exist_ok=True)
    with FileLock(root / ".cache" / "site.lock"):
        if old.exists() and not site.exists():  # killed between the two renames below
            old.rename(site)
        for left_over in (fresh, old):
            shutil.rmtree(left_over, ignore_errors=True)
        faults, _ = render(root, fresh, listen(root), strict=True)
        if faults:
            shutil.rmtree(fresh, ignore_errors=True)
            print(f"\n{len(faults)} to mend; site/ stays as it was:", file=sys.stderr)
            print("\n".join(faults), file=sys.stderr)
            return 1
        if site.exists():
            site.rename(old)
        fresh.rename(site)
        shutil.rmtree(old, ignore_errors=True)
    pages = len(list(site.rglob("*.html")))
    print(f"site/ holds {pages} pages, built in {time.monotonic() - started:.1f} s")
    return 0


def listen(root: Path) -> Log:
    """Listen to MkDocs as its own command does: never quietly, or strict builds miss faults."""
    log = Log(root)
    logger = logging.getLogger("mkdocs")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(log)
    return log


def render(
    root: Path, folder: Path, log: Log, *, strict: bool, address: str = ""
) -> tuple[list[str], bool]:
    """Let MkDocs build the site into a folder.

    Args:
        root: The checkout.
        folder: Where to; it is emptied first.
        log: What listens to MkDocs.
        strict: Whether faults are to end it.
        address: Where it will be served, if not where `mkdocs.yml` says.

    Returns:
        All faults, each with file and line, and whether the folder holds a whole site.
    """
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the pinned version is the one that works
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException

    log.forget()
    try:
        config = load_config(str(root / "mkdocs.yml"), strict=strict, site_dir=str(folder))
        if address:
            config.site_url = address
        config.plugins.on_startup(command="serve" if address else "build", dirty=False)
        try:
            mkdocs_build(config, serve_url=address or None)
        finally:
            config.plugins.on_shutdown()
    except MkDocsException as error:  # what ends a strict build, after all warnings
        return log.faults or [log.placed(str(error))], False
    except Exception as error:  # a fault of code, not of a page
        traceback.print_exc()
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if Path(frame.filename).is_relative_to(root)] or frames
        place = f"{shown(Path(ours[-1].filename))}:{ours[-1].lineno}"
        return [*log.faults, f"{place}: {type(error).__name__}: {error}"], False
    return log.faults, True
