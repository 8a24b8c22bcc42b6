"""Serves the site while it is written, and builds it again at each edit."""

import os
import shutil
import socket
import sys
import threading
import time
import traceback
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from rlhf_explained.disk import DiskError, writing
from rlhf_explained.site import preview
from rlhf_explained.site.build import listen, render


def serve(root: Path, port: int) -> None:
    """Serve the site on 127.0.0.1 until stopped.

    Not strictly: a page shows its faults, and a build that fails leaves the last good pages, where
    the server of MkDocs would hang. An edited page is there at once, and the whole site follows
    from another process, which the next edit ends. An edit of what Python has imported here starts
    this process anew, because that stays as it was; not so drawing functions.

    Args:
        root: The checkout.
        port: Where to listen.

    Raises:
        DiskError: If there can be no folder for the pages.
    """
    _check_free(port)
    log = listen(root)
    from mkdocs.livereload import LiveReloadServer

    folder = root / ".cache" / f"served-{port}"
    pages, fresh, next_whole = folder / "pages", folder / "new", folder / "whole"
    with writing(folder):
        pages.mkdir(parents=True, exist_ok=True)
    for left_over in (fresh, next_whole):  # by a killed process
        shutil.rmtree(left_over, ignore_errors=True)
    edits = Edits(root)
    follow = Follow(root, pages, next_whole)

    def build() -> None:
        follow.stop()
        try:
            with writing(folder):
                if preview.show(edits.since()):
                    follow.start(server.url)
                    return
        except DiskError as error:
            print(error, file=sys.stderr)
            return
        except Exception:
            traceback.print_exc()  # the whole build meets the same, and says where
        try:
            faults, whole = render(root, fresh, log, strict=False, address=server.url)
        except DiskError as error:
            faults, whole = [str(error)], False
        if whole:
            _swap(fresh, pages)
            preview.get_ready(pages)
        else:
            print(*faults[-1:], file=sys.stderr)
            print("The last good pages stay; the next edit builds again.", file=sys.stderr)

    server = LiveReloadServer(build, "127.0.0.1", port, str(pages), polling_interval=0.2)
    package = root / "rlhf_explained"
    threading.Thread(target=_restart_on_edit, args=(package,), daemon=True).start()
    build()
    for watched in edits.watched:
        server.watch(str(watched))
    try:
        server.serve()
    except KeyboardInterrupt:
        server.shutdown()
        follow.stop()


class Edits:
    """What has been edited in the pages, the drawing functions and the values.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        package = root / "rlhf_explained"
        self.watched = (root / "docs", root / "mkdocs.yml")
        self.watched += (package / "figures", package / "measured")
        self._seen = self._now()

    def _now(self) -> dict[Path, float]:
        return {path: time for place in self.watched for path, time in _edits(place).items()}

    def since(self) -> set[Path]:
        """The files that are not as they were when last asked for: edited, new or gone."""
        before, self._seen = self._seen, self._now()
        both = before.keys() | self._seen.keys()
        return {path for path in both if before.get(path) != self._seen.get(path)}


class Follow:
    """Builds the whole site in another process, after pages that were built alone.

    Args:
        root: The checkout.
        pages: What is served.
        folder: Where to build.
    """

    def __init__(self, root: Path, pages: Path, folder: Path) -> None:
        self.root, self.pages, self.folder = root, pages, folder
        self._process: BaseProcess | None = None
        self._lock = threading.Lock()

    def start(self, address: str) -> None:
        """Begin, and take the place of what is served at the end."""
        arguments = (self.root, self.folder, address)
        self._process = process = get_context("spawn").Process(target=_whole, args=arguments)
        process.start()
        threading.Thread(target=self._take_place, args=(process,), daemon=True).start()

    def stop(self) -> None:
        """End what is being built: it is no longer true."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.terminate()
            process.join()

    def _take_place(self, process: BaseProcess) -> None:
        process.join()
        with self._lock:
            if process is self._process and process.exitcode == 0:
                _swap(self.folder, self.pages)


def _whole(root: Path, folder: Path, address: str) -> None:
    try:
        _, whole = render(root, folder, listen(root), strict=False, address=address)
    except DiskError as error:
        sys.exit(str(error))
    sys.exit(not whole)


def _swap(fresh: Path, pages: Path) -> None:
    """Let a folder take another one's place; for no longer than that there is none."""
    old = pages.with_name("old")
    shutil.rmtree(old, ignore_errors=True)  # left by a killed process
    pages.rename(old)
    fresh.rename(pages)
    shutil.rmtree(old)


def _check_free(port: int) -> None:
    """Say now, not after a build, that another program has the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"port {port}: {error.strerror}; choose another one with PORT=")


def _edits(place: Path) -> dict[Path, float]:
    """When a file, or each file in a folder, was last edited."""
    files = [path for path in (place, *place.rglob("*")) if path.is_file()]
    return {path: path.stat().st_mtime for path in files if path.suffix != ".pyc"}


def _restart_on_edit(package: Path) -> None:
    """Wait for an edit that Python can read, then become a new process with the same arguments."""
    seen = _edits(package)
    while True:
        time.sleep(0.2)
        now = _edits(package)
        edited = [path for path in now if now[path] != seen.get(path)]
        seen = now
        try:
            for path in edited:
                if path.suffix == ".py":
                    compile(path.read_text(encoding="utf-8"), str(path), "exec")
        except SyntaxError as error:
            print(f"{error.filename}:{error.lineno}: {error.msg}", file=sys.stderr)
            continue
        if not all(map(preview.is_read_anew, edited)):
            os.execv(sys.executable, [sys.executable, "-m", "rlhf_explained", *sys.argv[1:]])
