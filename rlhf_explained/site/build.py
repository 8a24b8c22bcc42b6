"""Builds the site.

A build goes into a folder beside `site/` and takes its place only when it is whole and without a
fault, so a reader of `site/` never sees half of one, nor one that is not true.
"""

import difflib
import gc
import logging
import os
import re
import shutil
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from filelock import FileLock
from markdown.extensions.toc import slugify

from rlhf_explained.disk import EXIT, DiskError, shown, writing
from rlhf_explained.site.faults import ended, line_of, no_python

PLACE = re.compile(r"^\S+:\d+: ")
CURES = {  # what MkDocs and its plugins leave unsaid, by what they say
    "is not found among documentation files|leads nowhere: no '": "name a page that is there",
    "absolute link": "write the way from this page",
    'not included in the "nav" configuration': "add it to nav in mkdocs.yml",
    "parsing the configuration file|the cell raises": "mend it",
    "cross-reference target": "name something that a page of docs/reference/api shows",
    "does not appear in the function signature|No type or annotation": "name what there is",
    "could not be found|Could not collect": "name a module that is there",
}


def ids(text: str) -> list[str]:
    """The ids of a page's headings, and those that it gives itself."""
    headings = re.findall(r"(?m)^#+ ([^{\n]+)", text)
    return [slugify(words, "-") for words in headings] + re.findall(r"\{ *#([\w-]+) *\}", text)


class Log(logging.Handler):
    """Prints what MkDocs and its plugins say, and collects what they warn of, with its place."""

    def __init__(self, root: Path, *, aloud: bool = True) -> None:
        super().__init__()
        self.root, self.aloud = root, aloud
        self.forget()

    def forget(self) -> None:
        """Begin another build."""
        self.faults: list[str] = []
        self._met: Counter[tuple[Path, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message, if asked to; from a warning on it is a fault."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            message = self.placed(message)
            self.faults.append(message)
        if self.aloud:
            print(f"{record.levelname:<8} {message}", file=sys.stderr, flush=True)

    def placed(self, message: str) -> str:
        """Put file and line before a message, and how to mend it behind, if they are missing."""
        if named := re.match(r"griffe: (\S+:\d+: .*)", message):
            message = named[1]
        place = "" if PLACE.match(message) else f"{self._place(message)}: "
        cures = (cure for sign, cure in CURES.items() if re.search(sign, message))
        cure = next(cures, self._heading(message) if "anchor" in message else "")
        return f"{place}{message.rstrip('.')}; {cure}" if cure else f"{place}{message}"

    def _heading(self, message: str) -> str:
        """Name the heading that a link may have meant."""
        names = re.findall(r"'([^'#]+\.md)'", message)
        wrong = re.search(r"#([^'\s]+)'", message)
        text = (self.root / "docs" / names[-1]).read_text(encoding="utf-8") if names else ""
        close = difflib.get_close_matches(wrong[1] if wrong else "", ids(text), n=1)
        return f"did you mean #{close[0]}?" if close else "name the id of a heading there"

    def _place(self, message: str) -> str:
        """Find file and line by the words of a message."""
        quoted = re.findall(r"['\"]([^'\"\n]+)['\"]", message)
        names = [*quoted, *re.findall(r"[\w./-]+\.(?:md|py)\b", message)]
        files = [folder / name for name in names for folder in (self.root / "docs", self.root)]
        # what concerns no page stands in the configuration
        file = next((file for file in files if file.is_file()), self.root / "mkdocs.yml")
        for name in re.findall(r"\brlhf_explained(?:\.\w+)+", message):
            for page in (self.root / "docs/reference/api").rglob("*.md"):
                if line := line_of(page, rf"(?m)^::: {re.escape(name)}$"):
                    return f"{shown(page)}:{line}"
        if line := re.search(r'mkdocs.yml", line (\d+)', message):
            return f"{shown(file)}:{line[1]}"
        for words in quoted:
            line = line_of(file, re.escape(words), self._met[file, words])
            if line and self.root / "docs" / words != file:
                self._met[file, words] += 1
                return f"{shown(file)}:{line}"
        return f"{shown(file)}:1"


def build(root: Path) -> int:
    """Build the site strictly into `site/`, which stays as it was if there is a fault.

    Args:
        root: The checkout.

    Returns:
        The exit code: 0; or 1 with all faults listed on standard error; or 74 with a line on what
        cannot be written.
    """
    if not (root / "mkdocs.yml").is_file():
        print(f"no mkdocs.yml in {root}: the site is built in a clone", file=sys.stderr)
        return 1
    started = time.monotonic()
    os.umask(0o022)  # whoever publishes the site, all may read it
    gc.set_threshold(50_000)  # pages make many objects and few circles of them
    try:
        with writing(root), FileLock(root / ".site.lock"):
            faults = _replace(root / "site", root)
    except DiskError as error:
        print(f"\n{error}; site/ stays as it was", file=sys.stderr)
        return EXIT
    if faults:
        print(f"\n{len(faults)} to mend; site/ stays as it was:", file=sys.stderr)
        print("\n".join(faults), file=sys.stderr)
        return 1
    pages = len(list((root / "site").rglob("*.html")))
    print(f"site/ holds {pages} pages, built in {time.monotonic() - started:.1f} s")
    return 0


def _replace(site: Path, root: Path) -> list[str]:
    """Build beside the site and take its place, or return all faults."""
    fresh, old = root / ".site-new", root / ".site-old"
    if old.exists() and not site.exists():  # killed between the two renames below
        old.rename(site)
    try:
        for left_over in (fresh, old):
            shutil.rmtree(left_over, ignore_errors=True)
        faults, _ = render(root, fresh, listen(root), strict=True)
        if not faults:
            if site.exists():
                site.rename(old)
            fresh.rename(site)
        return faults
    finally:
        for left_over in (fresh, old):
            shutil.rmtree(left_over, ignore_errors=True)


def listen(root: Path, *, aloud: bool = True) -> Log:
    """Listen to MkDocs as its own command does: all it says, or strict builds miss faults."""
    log = Log(root, aloud=aloud)
    logger = logging.getLogger("mkdocs")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(log)
    return log


def render(
    root: Path, folder: Path, log: Log, *, strict: bool, address: str = "", **settings: Any
) -> tuple[list[str], bool]:
    """Let MkDocs build the site into a folder.

    Args:
        root: The checkout.
        folder: Where to; it is emptied first.
        log: What listens to MkDocs.
        strict: Whether faults are to end it.
        address: Where it will be served, if not where `mkdocs.yml` says.
        **settings: To use instead of those in `mkdocs.yml`.

    Returns:
        All faults, each with file and line, and whether the folder holds a whole site.

    Raises:
        DiskError: If the disk is full, or something may not be written.
    """
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the pinned version is the one that works
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException

    log.forget()
    try:
        settings |= {"strict": strict, "site_dir": str(folder)}
        config = load_config(str(root / "mkdocs.yml"), **settings)
        if address:
            config.site_url = address
        config.plugins.on_startup(command="serve" if address else "build", dirty=False)
        try:
            with writing(folder):
                mkdocs_build(config, serve_url=address or None)
        finally:
            config.plugins.on_shutdown()
    except DiskError:
        raise
    except MkDocsException as error:  # what ends a strict build, after all warnings
        return log.faults or [log.placed(str(error))], False
    except SyntaxError as error:
        return [*log.faults, no_python(error)], False
    except Exception as error:  # a fault of code, not of a page
        traceback.print_exc()
        return [*log.faults, ended(error)], False
    return log.faults, True
