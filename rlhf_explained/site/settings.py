"""What MkDocs does not check in `mkdocs.yml`: names that the theme knows, files, the search."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

from rlhf_explained.disk import shown
from rlhf_explained.site import faults

_FEATURE = re.compile(r"[\"']((?:announce|content|header|navigation|search|toc)\.[a-z.]+)[\"']")
# what the search finds words in, and those words
_TEXT = "reward model, PPO-ptx (KL) a/b: 0.2"
_WORDS = ["reward", "model", "PPO", "ptx", "KL", "a", "b", "0.2"]


def check(config: MkDocsConfig) -> None:
    """Log each fault at its line."""
    path = Path(config.config_file_path)
    for words, what in _faults(config):
        line = faults.line_of(path, rf"(?<![\w.]){re.escape(words)}(?![\w.])") or 1
        faults.logger.warning(f"{shown(path)}:{line}: {what}")


def _faults(config: MkDocsConfig) -> Iterator[tuple[str, str]]:
    parts = ("*.html", "partials/*.html", "assets/javascripts/bundle.*.js")
    theme = [
        path for folder in config.theme.dirs for part in parts for path in Path(folder).glob(part)
    ]
    known = {name for path in theme for name in _FEATURE.findall(path.read_text(encoding="utf-8"))}
    for name in config.theme.get("features") or ():
        if name not in known:
            yield name, f"the theme has no feature {name!r}; {faults.nearest(name, known)}"
    docs = Path(config.docs_dir)
    for name in map(str, (*config.extra_css, *config.extra_javascript)):
        if "://" not in name and not (docs / name).is_file():
            same = docs.glob(f"assets/**/*{Path(name).suffix}")
            there = [path.relative_to(docs).as_posix() for path in same]
            yield name, f"there is no docs/{name}; {faults.nearest(name, there)}"
    try:
        found = re.split(config.plugins["material/search"].config.separator, _TEXT)
    except re.error as error:
        found = error
    if found != _WORDS:
        yield "separator:", f"in {_TEXT!r} the search finds {found}, not {_WORDS}: mend it"
