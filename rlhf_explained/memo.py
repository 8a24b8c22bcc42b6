"""The disk memo: results that are expensive to make, kept by the source that made them.

An entry is a folder `<root>/<kind>/<key>/` with a `manifest.json` that holds the SHA-256 of every
other file. It is made in a temporary folder and renamed into place, so a reader sees a whole entry
or none; a file lock lets two builds share the memo; a damaged entry is reported and made again.
Nothing in it is pickled.
"""

import ast
import functools
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from filelock import FileLock

MANIFEST = "manifest.json"

version = functools.cache(metadata.version)  # of a package; to look it up takes milliseconds


def root() -> Path:
    """Folder of the memo.

    `RLHF_EXPLAINED_CACHE` if it is set; else `.cache` in the checkout this package lives in; else,
    for an installed package, `~/.cache/rlhf-explained`.
    """
    if chosen := os.environ.get("RLHF_EXPLAINED_CACHE"):
        return Path(chosen)
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".cache"
    return Path.home() / ".cache" / "rlhf-explained"


def source_digest(paths: Iterable[Path]) -> str:
    """Digest of what Python files do: their syntax trees without docstrings and comments.

    Mending a typo in a docstring keeps the digest, changing a number in the code does not.

    Args:
        paths: Python files; their order does not matter.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(sys.version[:4].encode())
    for path in sorted(paths):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for node in ast.walk(tree):
            if isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) and (ast.get_docstring(node, clean=False) is not None):
                node.body = node.body[1:]
        digest.update(path.name.encode() + ast.dump(tree).encode())
    return digest.hexdigest()


def entry(
    kind: str,
    key: str,
    make: Callable[[Path], None],
    *,
    notice: Callable[[str], None] | None = None,
) -> Path:
    """Return the folder of an entry, making it if it is missing or damaged.

    Args:
        kind: What it is, such as `runs`; a folder of that name holds the entries.
        key: Digest of everything the result depends on.
        make: Called with an empty folder to fill when there is no sound entry.
        notice: Told, in one line, of a damaged entry; standard error by default.

    Returns:
        The complete, verified folder.
    """
    folder = root() / kind / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{key}.lock"):
        if folder.exists():
            fault = _fault(folder)
            if fault is None:
                return folder
            (notice or _say)(f"{folder}: {fault}; making it again")
            shutil.rmtree(folder)
        for stale in folder.parent.glob(f"{key}.new-*"):  # left by a killed process
            shutil.rmtree(stale)
        fresh = Path(tempfile.mkdtemp(prefix=f"{key}.new-", dir=folder.parent))
        try:
            make(fresh)
            _write_manifest(fresh)
            fresh.rename(folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return folder


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _write_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps(_digests(folder), indent=1), encoding="utf-8")
    for path in folder.rglob("*"):  # a power cut must not leave a renamed folder of empty files
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _fault(folder: Path) -> str | None:
    """Say what is wrong with an entry, or None if it is whole."""
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "damaged entry (its manifest cannot be read)"
    found = _digests(folder)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"damaged entry ({name} does not match its checksum)"
    return None
