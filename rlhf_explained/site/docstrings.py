"""What mkdocstrings makes of our docstrings, remembered.

To collect and render them takes a third of a build that has nothing else to do. A block is made
again when any file of the package, the glossary, the configuration or a version is another, and is
not remembered if there was something to warn of.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring, tostring

from griffe import Class, GriffeLoader, Module
from mkdocstrings import CollectorItem
from mkdocstrings_handlers.python import PythonConfig, PythonHandler, PythonOptions

from rlhf_explained import memo
from rlhf_explained.site import faults
from rlhf_explained.site.markdown.glossary import GLOSSARY
from rlhf_explained.site.markdown.unread import BOXES

SECTIONS = ("Args", "Attributes", "Examples", "Raises", "Returns", "Source", "Yields")
BLOCK = "block.json"
PACKAGES = ("mkdocs", "mkdocstrings", "mkdocstrings-python", "griffelib", "markdown", "pygments")


@dataclass(frozen=True)
class Block:
    """A block that the memo holds."""

    folder: Path


class RememberingHandler(PythonHandler):
    """mkdocstrings' own handler, with our memo around it.

    Attributes:
        sources: Digest of all that a block is made of.
    """

    def __init__(self, root: Path, **settings: Any) -> None:
        super().__init__(base_dir=root, **settings)
        package = sorted((root / "rlhf_explained").rglob("*.py"))
        others = [root / "mkdocs.yml", root / "docs" / GLOSSARY]
        self.sources = hashlib.sha256("/".join(map(version, PACKAGES)).encode())
        for path in (*package, *others):
            self.sources.update(path.name.encode() + path.read_bytes())
        self._aliases: dict[str, tuple[str, ...]] = {}
        self._all_names = False

    def _key(self, identifier: str, options: PythonOptions) -> str:
        whole = self.sources.copy()
        whole.update(f"{identifier} {options}".encode())
        return whole.hexdigest()[:20]

    def collect(self, identifier: str, options: PythonOptions) -> CollectorItem:
        """Find a module, a class or a function, or what was made of it before."""
        folder = memo.find("docstrings", self._key(identifier, options))
        if folder:
            return Block(folder)
        found = super().collect(identifier, options)
        if not self._all_names:  # else a name would be known or not as other blocks were rendered
            GriffeLoader(modules_collection=self._modules_collection).resolve_aliases(implicit=True)
            for module in self._modules_collection.members.values():
                _name_inherited(module)
            self._all_names = True
        return found

    def render(self, data: CollectorItem, options: PythonOptions, locale: str | None = None) -> str:
        """Make HTML of it, and note the headings for the table of contents."""
        if isinstance(data, Block):
            return self._recall(data.folder)
        with _warnings() as warned:
            content = super().render(data, options, locale)
            for name in {*re.findall(r'<details class="([\w-]+)"', content)} - {
                "source",
                *BOXES,
                "mkdocstrings-source",
            }:
                title = name.capitalize()
                what = f"a docstring has no section {title!r}; {faults.nearest(title, SECTIONS)}"
                faults.report(what, rf"(?m)^ +{title}:$")
        if not warned:
            headings = [*self._headings]
            parts = {
                "content": content,
                "headings": [tostring(heading, encoding="unicode") for heading in headings],
                "aliases": {
                    heading.get("id"): self.get_aliases(heading.get("id", ""))
                    for heading in headings
                },
            }

            def write(folder: Path) -> None:
                (folder / BLOCK).write_text(json.dumps(parts), encoding="utf-8")

            memo.entry("docstrings", self._key(data.path, options), write)
        return content

    def _recall(self, folder: Path) -> str:
        parts = json.loads((folder / BLOCK).read_text(encoding="utf-8"))
        self._headings.extend(map(fromstring, parts["headings"]))
        self._aliases.update((name, tuple(names)) for name, names in parts["aliases"].items())
        return parts["content"]

    def get_aliases(self, identifier: str) -> tuple[str, ...]:
        """All names of a thing."""
        return self._aliases.get(identifier) or super().get_aliases(identifier)


def handler(handler_config: Any, tool_config: Any, **settings: Any) -> RememberingHandler:
    """What mkdocstrings calls to get its handler."""
    root = Path(tool_config.config_file_path).parent
    return RememberingHandler(root, config=PythonConfig.from_data(**handler_config), **settings)


def _name_inherited(of: Module | Class) -> None:
    """Let all that is inherited know the names it has in classes further down."""
    if isinstance(of, Class):
        _ = of.inherited_members  # griffe finds them, and gives them these names, when asked
    for member in of.members.values():
        if isinstance(member, Module | Class):
            _name_inherited(member)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What MkDocs and its plugins warn of meanwhile."""
    warned: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.append(record.getMessage())

    ear, logger = Ear(logging.WARNING), logging.getLogger("mkdocs")
    logger.addHandler(ear)
    try:
        yield warned
    finally:
        logger.removeHandler(ear)
