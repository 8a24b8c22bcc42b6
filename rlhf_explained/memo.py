"""The disk memo: results that are expensive to make, kept by the source that made them.

An entry is a folder `<root>/<kind>/<key>/` with a `manifest.json` that holds the SHA-256 of every
other file. It is made in a temporary folder and renamed into place, so a reader sees a whole entry
or none, and needs no right to write; a file lock lets two builds share the memo; a damaged entry is
reported and made again. Nothing in it is pickled.
"""

import ast
import contextlib
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
from typing import Any

from filelock import FileLock, Timeout

from rlhf_explained.disk import writing

MANIFEST = "manifest.json"

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent

version = functools.cache(metadata.version)  # of a package; to look it up takes milliseconds


def root() -> Path:
    """Folder of the memo.

    `RLHF_EXPLAINED_CACHE` if it is set; else `.cache` in the checkout this package lives in; else,
    for an installed package, `~/.cache/rlhf-explained`.
    """
    if chosen := os.environ.get("RLHF_EXPLAINED_CACHE"):
        return Path(chosen).expanduser().absolute()
    if (_CHECKOUT / "pyproject.toml").is_file():
        return _CHECKOUT / ".cache"
    return Path.home() / ".cache" / "rlhf-explained"


def key(**circumstances: Any) -> str:
    """Digest of everything that a result depends on.

    Args:
        **circumstances: By name; whatever JSON can hold.

    Returns:
        20 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(circumstances).encode()).hexdigest()[:20]


def digest(files: Iterable[Path]) -> str:
    """Digest of what files hold, in their order.

    Args:
        files: The files; their names do not matter.

    Returns:
        64 hexadecimal digits.
    """
    each = (hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(b"".join(each)).hexdigest()


def imports(path: Path, package: Path = _PACKAGE) -> tuple[tuple[int, str], ...]:
    """Find what a Python file imports, in whatever way and wherever in the file.

    Args:
        path: A file of the package, or one that imports from it.
        package: The package's folder.

    Returns:
        Each line, and the full name: of a module, or of what is imported from one.
    """
    return _imports(path, package, path.stat().st_mtime_ns)


@functools.cache
def _imports(path: Path, package: Path, changed: int) -> tuple[tuple[int, str], ...]:
    """Of one file; the time of its last change is there for the cache."""
    found: list[tuple[int, str]] = []
    own = path.is_relative_to(package)
    here = (package.name, *path.relative_to(package).parent.parts) if own else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found += ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else ()
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found += ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
    return tuple(found)


def sources_of(
    module: Path, rooms: Iterable[str], package: Path = _PACKAGE, *, folders: bool = True
) -> set[Path]:
    """Find the sources that decide what a module does: its own, and all that it imports.

    Args:
        module: A Python file of the package, or one that imports from it.
        rooms: Modules and folders of the package, by name; imports of others are not followed.
        package: The package's folder.
        folders: Whether what only runs because a module's folder is imported, its `__init__.py`, is
            among them. What is imported from there always is.

    Returns:
        Python files.
    """
    package = package.resolve()  # a checkout may be linked
    rooms, found, waiting = frozenset(rooms), set[Path](), [module.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path, rooms, package, folders, path.stat().st_mtime_ns)
    return found


@functools.cache
def _imported(
    path: Path, rooms: frozenset[str], package: Path, folders: bool, changed: int
) -> tuple[Path, ...]:
    """The files that one file imports; the time of its last change is there for the cache."""
    found: list[Path] = []
    for _, name in imports(path, package):
        top, *parts = name.split(".")
        if top == package.name and parts and parts[0] in rooms:
            for depth in dict.fromkeys((len(parts), max(1, len(parts) - 1))):
                place = package.joinpath(*parts[:depth])
                files = (place.with_suffix(".py"), place / "__init__.py")
                found += (here := [*filter(Path.is_file, files)])
                if here and not folders:
                    break
        elif top == package.name and len(parts) == 1 and not [*package.glob(f"{parts[0]}*")]:
            found.append(package / "__init__.py")  # a name that is found there
    return tuple(found)


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
        digest.update(_source_digest(path, path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


@functools.cache
def _source_digest(path: Path, changed: int) -> str:
    """Of one file; the time of its last change is there for the cache."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and (ast.get_docstring(node, clean=False) is not None):
            node.body = node.body[1:]
    return hashlib.sha256(path.name.encode() + ast.dump(tree).encode()).hexdigest()


def find(kind: str, key: str) -> Path | None:
    """Find an entry.

    Args:
        kind: What it is, such as `runs`; a folder of that name holds the entries.
        key: Digest of everything the result depends on.

    Returns:
        The complete, verified folder, or None if it is missing or damaged.
    """
    folder = root() / kind / key
    return folder if _fault(folder) is None else None


def entry(
    kind: str,
    key: str,
    make: Callable[[Path], object],
    *,
    notice: Callable[[str], None] | None = None,
) -> Path:
    """Return the folder of an entry, making it if it is missing or damaged.

    Args:
        kind: As for `find`.
        key: As for `find`.
        make: Called with an empty folder to fill when there is no sound entry.
        notice: Told, in one line, of a damaged entry; standard error by default.

    Returns:
        The complete, verified folder.

    Raises:
        DiskError: If it has to be made and the disk is full or may not be written.
    """
    if found := find(kind, key):
        return found
    folder = root() / kind / key
    with writing(folder.parent, otherwise=", or name another folder in RLHF_EXPLAINED_CACHE"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        with FileLock(folder.parent / f"{key}.lock"):
            _fill(folder, make, notice or _say)
    return folder


def _fill(folder: Path, make: Callable[[Path], object], notice: Callable[[str], None]) -> None:
    """Make an entry, unless another process has made it meanwhile."""
    if os.path.lexists(folder):
        fault = _fault(folder)
        if fault is None:
            return
        notice(f"{folder}: {fault}; making it again")
        _remove(folder)
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}.new-", dir=folder.parent))
    try:
        make(fresh)
        _write_manifest(fresh)
        fresh.rename(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _sweep(kind: Path) -> None:
    """Remove what killed processes left; what is being made now is locked."""
    for stale in kind.glob("*.new-*"):
        lock = FileLock(kind / f"{stale.name.partition('.new-')[0]}.lock", timeout=0)
        with contextlib.suppress(Timeout), lock:
            shutil.rmtree(stale, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _digests(folder: Path) -> dict[str, str]:
    def digest(path: Path) -> str:
        plain = path.is_file() and not path.is_symlink()
        return hashlib.sha256(path.read_bytes()).hexdigest() if plain else "no plain file"

    found = sorted(path for path in folder.rglob("*") if path != folder / MANIFEST)
    return {
        path.relative_to(folder).as_posix(): digest(path)
        for path in found
        if path.is_symlink() or not path.is_dir()
    }


def _write_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps(_digests(folder), indent=1), encoding="utf-8")
    for path in folder.rglob("*"):  # a power cut must not leave a renamed folder of empty files
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _fault(folder: Path) -> str | None:
    """Say what is wrong with an entry, or None if it is whole."""
    if folder.is_symlink() or not folder.is_dir():
        return "damaged entry (it is no folder)"
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = _digests(folder)
    except (OSError, ValueError):
        return "damaged entry (its manifest cannot be read)"
    if not isinstance(expected, dict):
        return "damaged entry (its manifest is none)"
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"damaged entry ({name} does not match its checksum)"
    return None
