"""Serves the site while it is written, and builds it again at each edit."""

import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

from rlhf_explained.site.build import listen, render


def serve(root: Path, port: int) -> None:
    """Serve the site on 127.0.0.1 until stopped.

    Not strictly: a page shows its faults, and a build that fails leaves the last good pages, where
    the server of MkDocs would hang. An edit of the package starts this process anew, because what
    Python has imported stays as it was.

    Args:
        root: The checkout.
        port: Where to listen.
    """
    _check_free(port)
    log = listen(root)
    from mkdocs.livereload import LiveReloadServer

    folder = root / ".cache" / f"served-{port}"
    pages, fresh = folder / "pages", folder / "new"
    pages.mkdir(parents=True, exist_ok=True)

    def build() -> None:
        _, whole = render(root, fresh, log, strict=False, address=server.url)
        if whole:
            shutil.rmtree(pages)
            fresh.rename(pages)
        else:
            print("The last good pages stay; the next edit builds again.", file=sys.stderr)

    server = LiveReloadServer(build, "127.0.0.1", port, str(pages))
    package = root / "rlhf_explained"
    threading.Thread(target=_restart_on_edit, args=(package,), daemon=True).start()
    build()
    for watched in (root / "docs", root / "mkdocs.yml"):
        server.watch(str(watched))
    try:
        server.serve()
    except KeyboardInterrupt:
        server.shutdown()


def _check_free(port: int) -> None:
    """Say now, not after a build, that another program has the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"port {port}: {error.strerror}; choose another one with PORT=")


def _edits(folder: Path) -> dict[Path, float]:
    """When each file was last edited."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime for path in files if path.suffix != ".pyc"}


def _restart_on_edit(package: Path) -> None:
    """Wait for an edit that Python can read, then become a new process with the same arguments."""
    seen = _edits(package)
    while True:
        time.sleep(0.5)
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
        if edited:
            os.execv(sys.executable, [sys.executable, "-m", "rlhf_explained", *sys.argv[1:]])
