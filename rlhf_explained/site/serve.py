"""Serves the site while it is written, and shows each edit at once.

Three kinds of process share the work, so that no code of ours outlives an edit of it:

- this one serves a folder and watches the sources, but renders nothing;
- a builder renders the whole site with the code of that moment, and then knows what MkDocs knows;
- at an edit a child of the builder renders the edited pages alone, and ends.

After that the next builder renders the whole site again, and takes the place of the one before.
Builders come from a server of processes that has imported other people's packages, none of ours.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Collection
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rlhf_explained.disk import DiskError, writing
from rlhf_explained.site.faults import no_python

PROCESSES = get_context("forkserver")
OTHERS = ["torch", "mkdocs.commands.build", "mkdocs.config", "mkdocs_jupyter.plugin"]
OTHERS += ["material.plugins.search.plugin", "mkdocstrings_handlers.python"]


def serve(root: Path, port: int) -> None:
    """Serve the site on 127.0.0.1 until stopped.

    Not strictly: a page shows its faults, and a build that fails leaves the last good pages.

    Args:
        root: The checkout.
        port: Where to listen.

    Raises:
        DiskError: If there can be no folder for the pages.
    """
    _check_free(port)
    PROCESSES.set_forkserver_preload(OTHERS)
    from mkdocs.livereload import LiveReloadServer

    folder = root / ".cache" / f"served-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    with writing(folder):
        (folder / "pages").mkdir(parents=True)
    watched = (root / "docs", root / "mkdocs.yml", root / "rlhf_explained")
    seen = _edits(watched)
    site = Site(root, folder, f"http://127.0.0.1:{port}/")

    def update() -> None:
        nonlocal seen
        before, seen = seen, _edits(watched)
        files = before.keys() | seen.keys()
        try:
            with writing(folder):
                site.update({path for path in files if before.get(path) != seen.get(path)})
        except DiskError as error:
            print(error, file=sys.stderr)

    server = LiveReloadServer(update, "127.0.0.1", port, str(site.pages), polling_interval=0.2)
    update()
    for place in watched:
        server.watch(str(place))
    try:
        server.serve()
    except KeyboardInterrupt:
        server.shutdown()
        site.stop()


class Site:
    """What is served: pages of the last whole build, and those that were edited since.

    Args:
        root: The checkout.
        folder: Gets the pages, and what will take their place.
        address: Where they are served.

    Attributes:
        pages: The folder to serve.
    """

    def __init__(self, root: Path, folder: Path, address: str) -> None:
        self.pages = folder / "pages"
        self._next = (root, folder / "next", self.pages, address)
        self._builder: Builder | None = None  # of the pages
        self._coming: Builder | None = None
        self._wrong: set[Path] = set()  # pages with code that does not hold
        self._lock = threading.Lock()

    def update(self, edited: Collection[Path]) -> None:
        """Show an edit: at once where the edited pages can be rendered alone.

        Args:
            edited: Files that were edited, are new, or are gone.
        """
        with self._lock:
            if self._coming:  # it is no longer true
                self._coming.stop()
            shown = self._show(edited)
            coming = self._coming = Builder(*self._next)
        if shown:
            threading.Thread(target=self._take_place, args=(coming,), daemon=True).start()
        else:
            self._take_place(coming)

    def stop(self) -> None:
        """End all processes."""
        for builder in filter(None, (self._builder, self._coming)):
            builder.stop()

    def _show(self, edited: Collection[Path]) -> bool:
        found = self._builder.show(edited, self._wrong) if self._builder else None
        self._wrong = self._wrong if found is None else found
        return found is not None

    def _take_place(self, coming: Builder) -> None:
        """Wait for a builder, and serve what it has built, unless another edit has ended it."""
        whole = coming.answer()
        with self._lock:
            if coming is not self._coming:
                return
            self._coming = None
            if not whole:
                print("The last good pages stay; the next edit builds again.", file=sys.stderr)
                return
            if self._builder:
                self._builder.stop()
            self._builder = coming
            _swap(coming.folder, self.pages)
            if self._wrong:
                self._show(self._wrong)


class Builder:
    """A process that renders the whole site, and edited pages alone from then on.

    Args:
        root: The checkout.
        folder: Where to render the site.
        pages: Where it will lie.
        address: Where it will be served.
    """

    def __init__(self, root: Path, folder: Path, pages: Path, address: str) -> None:
        self.folder = folder
        self._end, other = PROCESSES.Pipe()
        arguments = (root, folder, pages, address, other)
        self._process = PROCESSES.Process(target=_work, args=arguments)
        self._process.start()
        other.close()

    def show(self, edited: Collection[Path], wrong: set[Path]) -> set[Path] | None:
        """Render pages alone; see `preview.show`."""
        with suppress(OSError):
            self._end.send((edited, wrong))
        return self.answer()

    def answer(self) -> Any:
        """Wait for what it says: first whether the site is whole. None if it has ended."""
        with suppress(EOFError, OSError):
            return self._end.recv()
        return None

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()


def _work(root: Path, folder: Path, pages: Path, address: str, end: Connection) -> None:
    """What a builder does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that serves stops this one
    try:
        from rlhf_explained.site import preview
        from rlhf_explained.site.build import listen, render
    except SyntaxError as error:
        sys.exit(no_python(error))
    log = listen(root)
    try:
        faults, whole = render(root, folder, log, strict=False, address=address)
    except DiskError as error:
        faults, whole = [str(error)], False
    if not whole:
        sys.exit("".join(faults[-1:]))
    preview.get_ready()
    end.send(True)
    with suppress(EOFError):  # when the one that serves has ended
        while True:
            edited, wrong = end.recv()
            if child := os.fork():
                _, status = os.waitpid(child, 0)
                if status:
                    end.send(None)
                continue
            try:
                end.send(preview.show(edited, wrong, pages))
            except BaseException:
                traceback.print_exc()  # the whole build meets the same, and says where
                os._exit(1)
            os._exit(0)


def _swap(fresh: Path, pages: Path) -> None:
    """Let a folder take another one's place; for no longer than that there is none."""
    old = pages.with_name("old")
    pages.rename(old)
    fresh.rename(pages)
    shutil.rmtree(old)


def _check_free(port: int) -> None:
    """Say now, not after a build, that another program has the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OverflowError:
            sys.exit(f"port {port}: there are 65,535; choose one of them with PORT=")
        except OSError as error:
            sys.exit(f"port {port}: {error.strerror}; choose another one with PORT=")


def _edits(places: Collection[Path]) -> dict[Path, float]:
    """When each file there was last edited."""
    files = (path for place in places for path in (place, *place.rglob("*")))
    return {
        path: path.stat().st_mtime for path in files if path.is_file() and path.suffix != ".pyc"
    }
