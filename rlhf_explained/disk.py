"""A disk that cannot be written, told in one line: where, why, and what helps."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXIT = 74
"""What a command ends with that could not write; `EX_IOERR` of Unix."""

_WHY = {
    errno.ENOSPC: "the disk is full; make room there",
    errno.EDQUOT: "your share of the disk is full; make room there",
    errno.EROFS: "the disk is read-only; make it writable",
    errno.EACCES: "access is denied; allow it",
    errno.ENAMETOOLONG: "the path is too long; name a folder with a shorter one, in TMPDIR too",
}


class DiskError(Exception):
    """Something could not be written; the message says where, why, and what helps."""


@contextmanager
def writing(folder: Path, *, otherwise: str = "") -> Iterator[None]:
    """Tell in one line why a folder cannot be written.

    Args:
        folder: What is written meanwhile.
        otherwise: Another way out, for the end of the line.

    Raises:
        DiskError: If the disk is full or may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _WHY:
            raise
        # a copy names its source first; a write names nothing, and temporary files lie elsewhere
        place = error.filename2 or error.filename or f"{folder} or {tempfile.gettempdir()}"
        raise DiskError(f"{place}: {_WHY[error.errno]}{otherwise}") from error


def raise_again(trace: str, folder: Path) -> None:
    """Raise here what ended another process, if that was the disk.

    Args:
        trace: What it wrote on standard error.
        folder: Where to it was writing.

    Raises:
        OSError: With the number that stands in the last line.
    """
    last = (trace.strip().splitlines() or [""])[-1]
    found = re.match(r"(?:OSError|PermissionError): \[Errno (\d+)\]", last)
    number = int(found[1]) if found else 0
    if number in _WHY:
        raise OSError(number, os.strerror(number), str(folder))


def shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
