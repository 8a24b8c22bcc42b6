"""The edition as a PDF, printed by Chromium.

It is part of publishing, not of a build: the memo keeps it by the digest of what was printed, and a
build offers it only where its own edition has that digest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from rlhf_explained import memo
from rlhf_explained.site.build import build

NAME = "rlhf-explained.pdf"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-pdf-header-footer",  # page numbers come from the stylesheet
    "--generate-pdf-document-outline",
)


class PrintError(Exception):
    """There is no PDF, and the message says why."""


def printed(digest: str) -> Path | None:
    """The PDF of an edition, by its digest; None if that was not printed, or suffered since."""
    folder = memo.find("editions", digest)
    return folder / NAME if folder else None


def remembered(digest: str, page: Path) -> Path:
    """Print the edition in an HTML file, unless the memo has it by its digest.

    Raises:
        PrintError: If there is no browser or it fails.
    """
    return memo.entry("editions", digest, lambda into: print_page(page, into / NAME)) / NAME


def browser() -> str:
    """The browser to print with: `CHROMIUM` if it is set, else the first one on the path.

    Raises:
        PrintError: If there is none.
    """
    wanted = [name] if (name := os.environ.get("CHROMIUM")) else _BROWSERS
    for path in filter(None, map(shutil.which, wanted)):
        return path
    raise PrintError(
        f"no {' or '.join(wanted)} on the path: install Chromium (apt-get install chromium), "
        "or name a browser of its kind in CHROMIUM"
    )


def print_page(page: Path, into: Path) -> None:
    """Print a built page.

    Args:
        page: The HTML file.
        into: The PDF to write.

    Raises:
        PrintError: If there is no browser or it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "page.html")
        html = page.read_text(encoding="utf-8")
        copy.write_text(standalone(html, page.resolve().parent), encoding="utf-8")
        command = [browser(), *_FLAGS, f"--user-data-dir={folder}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # in which Chromium does not run as root
        command += [f"--print-to-pdf={into}", copy.as_uri()]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode or not into.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PrintError(f"{command[0]} printed nothing ({done.returncode}): {last}")


def standalone(html: str, folder: Path) -> str:
    """A page as it is to be printed: without scripts, and with no link to a file of this machine.

    Args:
        html: A built page.
        folder: Where it lies.

    Returns:
        It with style sheets loaded from where they lie, and links to other pages led to where the
        site is published, or no links where that is not known.
    """
    canonical = re.search(r'<link rel="canonical" href="([^"]+)"', html)

    def led(found: re.Match[str]) -> str:
        before, name, link = found[1], found[2], found[3]
        if urlsplit(link).scheme:
            return found[0]
        if not before.startswith("<a "):
            return f'{before}{name}="{(folder / link).as_uri()}"'
        return f'{before}{name}="{urljoin(canonical[1], link)}"' if canonical else before

    links = re.compile(r'(<(?:a|link|img|image|source) (?:[^>]*? )?)(href|src)="([^"#][^"]*)"')
    return links.sub(led, re.sub(r"<script\b.*?</script>", "", html, flags=re.S))


def publish(root: Path) -> int:
    """Build the site with the PDF in it, printing that if it is not there yet.

    Args:
        root: The checkout.

    Returns:
        The exit code.
    """
    try:
        browser()  # before the build, not after it
        if code := build(root):
            return code
        site = root / "site"
        page = next(
            page for page in (site / "whole/index.html", site / "whole.html") if page.is_file()
        )
        found = re.search(r'data-edition="(\w+)"', page.read_text(encoding="utf-8"))
        assert found, f"{page} is not the edition"
        if not printed(found[1]):
            remembered(found[1], page)
            if code := build(root):
                return code
        print(f"site/{NAME} holds {(site / NAME).stat().st_size / 1e6:.1f} MB")
    except PrintError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
