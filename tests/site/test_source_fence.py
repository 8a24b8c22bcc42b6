"""The `source` fence copies from files, and the page on the engine reads all of it in its order."""

from __future__ import annotations

import ast
import re

import pytest

from rlhf_explained.site.markdown.source import parts
from tests.site.conftest import ROOT, Show, soup

PACKAGE = ROOT / "rlhf_explained"
SCRIPTS = PACKAGE / "explore" / "js"
ENGINE = SCRIPTS / "engine.js"


def shown(name: str) -> list[str]:
    """The code of a file, as the page on the engine shows it."""
    blocks = soup("reference/engine/").select(".source")
    return [
        block.select("code")[0].get_text().rstrip("\n")
        for block in blocks
        if block.select(".filename")[0].get_text() == name
    ]


def lines(code: str) -> list[str]:
    """Without indentation and empty lines."""
    return [line.strip() for line in code.splitlines() if line.strip()]


def test_the_page_shows_the_engine_from_top_to_bottom() -> None:
    script = ENGINE.read_text(encoding="utf-8")
    told = [line for part in shown("explore/js/engine.js") for line in lines(part)]
    start = lines(script).index(told[0])
    assert told == lines(script)[start:]
    assert lines(script)[:start][-2:] == ["{", "const EOS = 1"]


def test_engine_and_lesson_are_short() -> None:
    texts = [(SCRIPTS / name).read_text(encoding="utf-8") for name in ("engine.js", "lesson.js")]
    assert sum(len(text.splitlines()) for text in texts) <= 700
    assert max(len(line) for text in texts for line in text.splitlines()) <= 150


def test_each_headed_part_names_python_that_is_shown_below_it() -> None:
    blocks = soup("reference/engine/").select(".source")
    names = [block.select(".filename")[0].get_text() for block in blocks]
    for place, name in enumerate(names):
        if name == "explore/js/engine.js":
            head = blocks[place].select("code")[0].get_text().split("\n")[0]
            for file in re.findall(r"[\w/]+\.py", head):
                assert names[place + 1] == file


@pytest.mark.parametrize("name", ["rollout.py", "models/gpt.py", "world/labeler.py"])
def test_python_is_copied_without_docstrings(name: str) -> None:
    (code,) = shown(name)
    whole = (PACKAGE / name).read_text(encoding="utf-8")
    assert set(lines(code)) <= set(lines(whole))
    for node in ast.parse(code).body:
        assert isinstance(node, ast.FunctionDef)
        assert ast.get_docstring(node) is None
        (same,) = [
            other
            for other in ast.walk(ast.parse(whole))
            if isinstance(other, ast.FunctionDef)
            and other.name == node.name
            and ast.dump(other.args) == ast.dump(node.args)
        ]
        assert [*map(ast.dump, node.body)] == [*map(ast.dump, same.body[1:])]


def test_parts_have_names_and_numbers() -> None:
    assert [*parts(ENGINE)] == [str(number) for number in range(1, 10)]
    assert {"GPT.hidden", "Block.forward"} <= {*parts(PACKAGE / "models" / "gpt.py")}


@pytest.mark.parametrize(
    ("fence", "says"),
    [
        ("gone.py: f", "there is no file 'gone.py' in the package"),
        ("rollout.py: generat", "rollout.py has no part 'generat'"),
        ("explore/js/engine.js: 99", "explore/js/engine.js has no part '99'"),
    ],
)
def test_a_part_that_there_is_not_is_a_fault(fence: str, says: str, show: Show, caplog) -> None:
    html = show(f"Text.\n\n```source\n{fence}\n```\n")
    assert 'class="fault"' in html
    assert f"page.md:4: source: {says}" in caplog.text
