"""Checks one page, while its author waits: what `make test PAGE=` does.

MkDocs renders the page as the site's configuration says, among only those pages to which it leads,
so that every link and reference finds its target. Meanwhile another process runs the page's code.
What is wrong with the other pages is not this page's fault, and is left to `make site`.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rlhf_explained.disk import shown
from rlhf_explained.figures import FIGURES
from rlhf_explained.site.build import ids, listen, render
from rlhf_explained.site.faults import line_of, nearest, no_python, unreadable
from rlhf_explained.site.markdown import commands
from rlhf_explained.site.markdown.glossary import BIBLIOGRAPHY
from rlhf_explained.site.markdown.unread import fenced
from rlhf_explained.site.shown_run import is_trained
from rlhf_explained.site.snippets.find import is_notebook
from rlhf_explained.site.snippets.run import results

COMPOSED = (BIBLIOGRAPHY, "whole.md")  # made of what all pages say


def check(root: Path, path: Path) -> int:
    """Check a page, and list all its faults.

    Args:
        root: The checkout.
        path: A page, a notebook, a module of the package or a text in the top folder.

    Returns:
        The exit code: 0, or 1 with all faults on standard error.
    """
    started = time.monotonic()
    if fault := unreadable(path):
        print(fault, file=sys.stderr)
        return 1
    with ProcessPoolExecutor(2) as processes:
        parts = [processes.submit(of, root, path) for of in (code_faults, page_faults)]
        told: set[str] = set()
        for part in as_completed(parts):
            for fault in sorted(set(part.result()) - told, key=_place):
                told.add(fault)
                print(fault, file=sys.stderr, flush=True)
    took = f"{time.monotonic() - started:.1f} s"
    if told:
        print(f"\n{len(told)} to mend in {shown(path)} ({took})", file=sys.stderr)
        return 1
    print(f"{shown(path)} is right ({took})")
    return 0


def _place(fault: str) -> tuple[str, int]:
    file, line, _ = fault.split(":", 2)
    return file, int(line)


def code_faults(root: Path, path: Path) -> list[str]:
    """Run the code on a page; a notebook's cells are run where it is rendered.

    Args:
        root: The checkout.
        path: The page.

    Returns:
        Its faults, each with file and line.
    """
    if is_notebook(path, root):
        return []
    return [fault for result in results(path, seed=1) for fault in result.faults]


def page_faults(root: Path, path: Path) -> list[str]:
    """Render a page, or those that show a module, among the pages to which they lead.

    Args:
        root: The checkout.
        path: The page.

    Returns:
        Its faults, each with file and line.
    """
    docs = root / "docs"
    if path.suffix == ".py" and not is_notebook(path, root) and _no_python(path):
        return []  # which `code_faults` says; there is nothing to render
    if path.parent == root:
        return list(_broken_links(path))
    pages = [path] if path.is_relative_to(docs) else list(showing(_module(root, path), docs))
    if path not in pages and not (pages and is_trained()):
        return []  # to check its docstrings is not worth a training run
    wanted = {docs / "index.md", *pages, *led_to(root, pages)}
    names = sorted(page.relative_to(docs).as_posix() for page in wanted)
    in_order = (root / "mkdocs.yml").read_text(encoding="utf-8")
    only = {
        "nav": sorted((name for name in names if name in in_order), key=in_order.index),
        "exclude_docs": "\n".join(["__pycache__/", "*.md", "*.py", *(f"!/{n}" for n in names)]),
    }
    with tempfile.TemporaryDirectory() as folder:
        log = listen(root, aloud=False)
        faults, whole = render(root, Path(folder), log, strict=False, **only)
    own = tuple(f"{shown(file)}:" for file in (path, *pages, root / "mkdocs.yml"))
    return [fault for fault in faults if fault.startswith(own) or not whole]


def _no_python(path: Path) -> list[str]:
    """Where a file is no Python, if it is none."""
    try:
        ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        return [no_python(error)]
    return []


def _module(root: Path, path: Path) -> str:
    """The full name of a module."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def shown_by(page: Path) -> list[str]:
    """The full names of the modules whose docstrings a page shows."""
    return re.findall(r"(?m)^::: (\S+)", page.read_text(encoding="utf-8"))


def showing(name: str, docs: Path) -> Iterator[Path]:
    """The pages that show a module, the package that it belongs to, or a part of it.

    Args:
        name: Its full name.
        docs: Where the pages are.

    Yields:
        Them.
    """
    for page in sorted(docs.rglob("*.md")):
        for module in shown_by(page):
            if f"{name}.".startswith(f"{module}.") or module.startswith(f"{name}."):
                yield page


def led_to(root: Path, pages: Iterable[Path]) -> set[Path]:
    """The pages to which others may lead: what is named there, rather one too many.

    Args:
        root: The checkout.
        pages: Pages in `docs/`.

    Returns:
        Those that their links, raw HTML, figures and references to the API may need.
    """
    docs = root / "docs"
    every = [page for ending in ("*.md", "*.py") for page in docs.rglob(ending)]
    if any(page.relative_to(docs).as_posix() in COMPOSED for page in pages):
        return set(every)
    sources = [*pages]
    for module in (module for page in pages for module in shown_by(page)):
        place = root / module.replace(".", "/")
        sources += [place.with_suffix(".py")] if not place.is_dir() else place.rglob("*.py")
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources if file.is_file())
    found = {page for page in every if page.name in text or f"{_folder(page)}/" in text}
    names = set(re.findall(r"\[(rlhf_explained[.\w]+)\.\w+\]", text))  # where references lead
    names |= {FIGURES[name].module for name in FIGURES if name in text}
    return found.union(*(showing(name, docs) for name in names))


def _folder(page: Path) -> str:
    """The folder in which a page is published."""
    return page.parent.name if page.stem == "index" else page.stem


def _broken_links(path: Path) -> Iterator[str]:
    """What a file in the top folder names that is not there: files it links to, commands."""
    text = path.read_text(encoding="utf-8")
    wrong = commands.faults(text, path.parent)
    found = [*_unclosed(text)] or [(re.escape(words), what) for words, what in wrong]
    found += _wrong_tree(text, path.parent)
    for link, section in re.findall(r"\]\(([^)\s#]*)#?([^)\s]*)", text):
        target = path.parent / link if link else path
        if ":" in link:
            continue
        if not target.exists():
            what = f"the link {link!r} leads nowhere: name a file that is there"
            found.append((rf"\]\({re.escape(link)}", what))
        elif section and section not in (known := ids(target.read_text(encoding="utf-8"))):
            what = f"{link} has no section {section!r}; {nearest(section, known)}"
            found.append((re.escape(f"{link}#{section})"), what))
    for place, what in found:
        yield f"{shown(path)}:{line_of(path, place)}: {what}"


def _unclosed(text: str) -> Iterator[tuple[str, str]]:
    """Backticks that begin nothing, outside of fences; code ends on the line where it begins."""
    for line, fence in fenced(text.split("\n")):
        if not fence and "`" in re.sub(r"(`+).+?\1", "", line):
            yield re.escape(line), "a backtick in this line begins or ends nothing: close it"


def _wrong_tree(text: str, root: Path) -> Iterator[tuple[str, str]]:
    """Files that a tree in a fence names but that are not there, and modules that it leaves out."""
    for tree in re.findall(r"(?ms)^```text\n(\w+/ .*?)^```", text):
        named, folder = set[Path](), root
        for depth, name in re.findall(r"(?m)^( {0,2})([\w.]+)/?(?: |$)", tree):
            path = (folder if depth else root) / name
            folder = folder if depth else path
            named.add(path)
            if not path.exists():
                there = [one.name for one in path.parent.glob("*")]
                what = f"there is no {shown(path)}; {nearest(name, there)}"
                yield rf"(?m)^{depth}{re.escape(name)}", what
        for package in {path.parent for path in named if (path.parent / "__init__.py").is_file()}:
            inits = package.glob("*/__init__.py")
            for path in {*package.glob("[!_]*.py"), *(init.parent for init in inits)} - named:
                yield rf"(?m)^{package.name}/", f"this tree leaves out {shown(path)}: add it"
