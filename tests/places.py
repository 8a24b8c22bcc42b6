"""Where to mend what a test finds."""

import re
from pathlib import Path

from rlhf_explained.site.faults import line_of, shown


def place(file: str, words: str) -> str:
    """File and line of the first line that begins with these words, whatever its indentation."""
    path = Path(file)
    line = line_of(path, rf"(?m)^[ \t]*{re.escape(words)}") or 1
    return f"{shown(path)}:{line}"
