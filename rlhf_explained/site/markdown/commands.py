"""Checks the commands that prose shows: `make site`, `python -m rlhf_explained train --json`.

And that in all code of prose stand the signs of a keyboard, not those that a word processor makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rlhf_explained.site.faults import nearest

_SHOWN = re.compile(r"(?m)(?:^[ >]*\$ |`)(make|python -m rlhf_explained)((?: [^`\s#]+)+)")
_CODE = re.compile(r"(?m)^[ >]*\$ .*|(?<!`)`[^`\n]+`(?!`)|^ *(`{3,})(?:sh|bash)\n(?:.*\n)*? *\1")
_TYPESET = re.compile(r"[\xa0\u2000-\u200a\u202f“”„‘’]|(?<![^\s`])[–—−](?=[a-z])|–-")
_COMMAND = re.compile(r"@main\.command\(\)\n((?:[@) ].*\n)*)def (\w+)")


def _tests(root: Path) -> Iterator[str]:
    return (path.relative_to(root).as_posix() for path in root.glob("tests/**/test_*.py"))


def faults(text: str, root: Path) -> Iterator[tuple[str, str]]:
    """Find commands that cannot be, in code spans and after the prompts of a console.

    Args:
        text: Markdown.
        root: The checkout. Without a Makefile there, nothing is known of `make`.

    Yields:
        The words of each, and what is wrong with them.
    """
    for code in _CODE.finditer(text):
        for line in code[0].split("\n"):
            if sign := _TYPESET.search(re.sub(r" #.*", "", line)):
                yield line.strip(), f"no shell takes the {sign[0]!a} in this code: type it anew"
        for path in re.findall(r"(?<![\w/.-])tests/[\w/*.-]*[\w*]", code[0]):
            if (root / "tests").is_dir() and not any(root.glob(path)):
                yield path, f"there is no {path}; {nearest(path, _tests(root))}"
    makefile = root / "Makefile"
    rules = makefile.read_text(encoding="utf-8") if makefile.is_file() else ""
    targets, settings = (set(re.findall(x, rules)) for x in (r"(?m)^([a-z]+):", r"\b[A-Z]+\b"))
    program = (Path(__file__).parents[2] / "__main__.py").read_text(encoding="utf-8")
    commands = {
        name: re.findall(r'"(--[\w-]+)"', given) for given, name in _COMMAND.findall(program)
    }
    for program, rest in _SHOWN.findall(text):
        first, *_ = words = rest.split()
        for word in words:
            name, sets, _ = word.partition("=")
            known = [name]
            if program == "make" and rules:
                known = settings if sets else targets
            elif program != "make" and word.startswith("-"):
                known = commands.get(first, [])
            elif program != "make" and word is first and not word.isupper():
                known = commands
            if name not in known:
                yield program + rest, f"`{program}` knows no {name!r}; {nearest(name, known)}"
                break
