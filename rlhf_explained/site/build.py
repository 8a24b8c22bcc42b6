"""Builds the site, and serves it.

A build goes into a folder beside `site/` and takes its place only when it is whole and without a
fault, so a reader of `site/` never sees half of one, nor one that is not true.
"""

import logging
import os
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from rlhf_explained.site.faults import line_of, shown

PLACE = re.compile(r"^\S+:\d+: ")


class Log(logging.Handler):
    """Prints what MkDocs and its plugins say, and collects what they warn of, with its place."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
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
        faults = _build_into(fresh, root)
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


def _build_into(folder: Path, root: Path) -> list[str]:
    log = _mkdocs_log(root)
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException

    try:
        config = load_config(str(root / "mkdocs.yml"), strict=True, site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        try:
            mkdocs_build(config)
        finally:
            config.plugins.on_shutdown()
    except MkDocsException as error:  # what ends a strict build, after all warnings
        return log.faults or [log.placed(str(error))]
    except Exception as error:
        if not log.faults:  # not the fault of a page: the traceback helps
            raise
        return [*log.faults, log.placed(f"{type(error).__name__}: {error}")]
    return log.faults


def _mkdocs_log(root: Path) -> Log:
    """Listen to MkDocs as its own command does: never quietly, or strict builds miss faults."""
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the pinned version is the one that works
    log = Log(root)
    logger = logging.getLogger("mkdocs")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(log)
    return log


def serve(root: Path, port: int) -> None:
    """Serve the site on 127.0.0.1 and build it again at each edit.

    Not strictly: faults are shown, and the server lives on. An edit of the package's own code
    starts this process anew, because what Python has imported stays as it was.

    Args:
        root: The checkout.
        port: Where to listen.
    """
    from mkdocs.commands.serve import serve as mkdocs_serve

    _mkdocs_log(root)
    package = [*(root / "rlhf_explained").rglob("*.py")]
    threading.Thread(target=_restart_on_edit, args=(package,), daemon=True).start()
    pages = [root / "docs", root / "mkdocs.yml"]
    while True:
        seen = _last_edit(pages)
        try:
            mkdocs_serve(str(root / "mkdocs.yml"), strict=False, dev_addr=f"127.0.0.1:{port}")
        except OSError:  # the port is taken
            raise
        except (Exception, SystemExit) as error:
            print(f"{error}\nThe next edit starts again.", file=sys.stderr)
        else:
            return
        while _last_edit(pages) == seen:
            time.sleep(0.5)


def _last_edit(paths: Iterable[Path]) -> dict[Path, float]:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return {file: file.stat().st_mtime for file in files if file.is_file()}


def _restart_on_edit(package: list[Path]) -> None:
    """Wait for an edit that Python can read, then become a new process with the same arguments."""
    seen = _last_edit(package)
    while True:
        time.sleep(0.5)
        now = _last_edit(package)
        edited = [file for file in now if now[file] != seen.get(file)]
        seen = now
        if not edited:
            continue
        try:
            for file in edited:
                compile(file.read_text(encoding="utf-8"), str(file), "exec")
        except SyntaxError as error:
            print(f"{error.filename}:{error.lineno}: {error.msg}", file=sys.stderr)
        else:
            os.execv(sys.executable, [sys.executable, "-m", "rlhf_explained", *sys.argv[1:]])
