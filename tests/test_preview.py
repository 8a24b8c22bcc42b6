"""What `make serve` shows at an edit: the page alone at first, just as a whole build makes it."""

import json
from typing import Any

import pytest

from rlhf_explained import memo
from tests.test_build import ROOT, copied, driven

# builds the site once, then makes edits; prints what was shown, and what was said of it
DRIVE = """
import atexit, json, os, sys
from pathlib import Path

root, pages = Path.cwd(), Path("pages").resolve()
preview = root / "rlhf_explained/site/preview.py"
preview.write_text(preview.read_text().replace("PATIENCE = 60", "PATIENCE = 20"))
log = open("said.txt", "w+", encoding="utf-8")
os.dup2(log.fileno(), 2)
from rlhf_explained.site.serve import Builder

builder = Builder(root, pages, pages, "http://127.0.0.1:1/")
atexit.register(builder.stop)  # or what fails here would wait for it for ever
assert builder.answer()
assert "WARNING" not in Path("said.txt").read_text(encoding="utf-8")

def shown(source, page):
    begin = Path("said.txt").stat().st_size
    found = builder.show({root / source}, set())
    said = Path("said.txt").read_text(encoding="utf-8")[begin:].split("WARNING")[1:]
    text = (pages / page / "index.html").read_text(encoding="utf-8")
    return [found is not None, text, [fault.strip() for fault in said], [*map(str, found or ())]]

seen = {"alone": {}, "whole": {}}
for source in sorted([*Path("docs").rglob("*.md"), *Path("docs").rglob("*.py")]):
    if source.name == "decisions.md":  # is not published
        continue
    name = source.relative_to("docs").with_suffix("")
    name = name.parent if name.stem == "index" else name
    seen["whole"][str(source)] = (pages / name / "index.html").read_text(encoding="utf-8")
    seen["alone"][str(source)] = shown(source, name)

for what, source, page, old, new in json.loads(sys.argv[1]):
    path = Path(source)
    text = path.read_text(encoding="utf-8")
    assert text.count(old), (source, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    seen[what] = shown(source, page)
    path.write_text(text, encoding="utf-8")
    seen[f"{what} mended"] = shown(source, page)

Path("docs/new.md").write_text("# New")
seen["new"] = builder.show({root / "docs/new.md"}, set())
seen["configuration"] = builder.show({root / "mkdocs.yml"}, set())
seen["nothing"] = builder.show(set(), set())
page = root / "docs/guide/ppo-by-hand.md"
seen["still wrong"] = builder.show({page}, {page, root / "docs/index.md"})
builder.stop()
seen["ended"] = builder.show({page}, set())
json.dump(seen, sys.stdout, default=lambda found: sorted(map(str, found)))
"""

TIMELINE = "rlhf_explained/figures/chapters/history.py"
HAND = "docs/guide/ppo-by-hand.md"
EDITS = [
    ("figure", TIMELINE, "guide/history", "date = ", "date = 'then' or "),
    ("drawing fault", TIMELINE, "guide/history", "str(year)", "1 / 0"),
    ("snippet", HAND, "guide/ppo-by-hand", "```python\n", "```python\nprint(6 * 7, 'alone')\n"),
    ("endless", HAND, "guide/ppo-by-hand", "```python\n", "```python\nwhile True: pass\n"),
    (
        "end of Python",
        HAND,
        "guide/ppo-by-hand",
        "```python\n",
        "```python\nimport os; os._exit(0)\n",
    ),
    ("value", HAND, "guide/ppo-by-hand", "\n## ", "\n{{ value: nothing }}\n\n## "),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """At each edit whether it could be shown, the page, what was said, and pages that are wrong."""
    copy = copied(ROOT, tmp_path_factory.mktemp("preview") / "copy", memo.root())
    return driven(copy, DRIVE, json.dumps(EDITS))


def test_pages_built_alone_are_those_of_a_whole_build(seen: dict[str, Any]) -> None:
    alone = {name: page for name, (done, page, *_) in seen["alone"].items() if done}
    assert len(alone) >= 15
    assert [name for name in alone if alone[name] != seen["whole"][name]] == []
    assert [name for name, (_, _, said, _) in seen["alone"].items() if said] == []


def test_what_is_made_of_other_pages_or_docstrings_waits_for_a_whole_build(
    seen: dict[str, Any],
) -> None:
    waits = {name for name, (done, *_) in seen["alone"].items() if not done}
    assert "docs/whole.md" in waits
    assert all(name.startswith("docs/reference/api/") for name in waits - {"docs/whole.md"})
    assert [seen[what] for what in ("new", "configuration", "nothing", "ended")] == [None] * 4


def test_a_figure_is_drawn_by_its_newest_code(seen: dict[str, Any]) -> None:
    done, page, said, _ = seen["figure"]
    assert done
    assert ">then<" in page
    assert said == []
    assert seen["figure mended"][1] == seen["whole"]["docs/guide/history.md"]


def test_a_figure_that_cannot_be_drawn_says_where(seen: dict[str, Any]) -> None:
    _, page, (fault,), _ = seen["drawing fault"]
    lines = (ROOT / TIMELINE).read_text(encoding="utf-8").split("\n")
    (line,) = (at for at, text in enumerate(lines, 1) if "str(year)" in text)
    said = f"{TIMELINE}:{line}: ZeroDivisionError"
    assert said in fault
    assert said in page
    assert seen["drawing fault mended"][1] == seen["whole"]["docs/guide/history.md"]


def test_a_snippet_shows_what_it_prints_now(seen: dict[str, Any]) -> None:
    done, page, (fault,), (wrong,) = seen["snippet"]
    assert done
    line = fault.splitlines()[0]
    assert line.startswith(f"{HAND}:")
    assert f'<pre class="fault">{line}' in page
    assert "\n    42 alone\n" in page
    assert wrong.endswith(HAND)
    assert seen["snippet mended"][1:] == [seen["whole"][HAND], [], []]


def test_code_that_was_wrong_is_run_until_it_is_right(seen: dict[str, Any]) -> None:
    """Another page that was wrong stays on the list: it was not looked at."""
    (rest,) = seen["still wrong"]
    assert rest.endswith("docs/index.md")


def test_a_fault_is_shown_in_the_page(seen: dict[str, Any]) -> None:
    _, page, (fault, *_), _ = seen["value"]
    assert "unknown value &#x27;nothing&#x27;" in page or "unknown value 'nothing'" in page
    assert fault.startswith(f"{HAND}:")


@pytest.mark.parametrize("what", ["endless", "end of Python"])
def test_code_that_does_not_come_to_its_end_is_ended(seen: dict[str, Any], what: str) -> None:
    _, page, (fault, *_), _ = seen[what]
    assert fault.startswith(f"{HAND}:")
    assert "this code, or what is above it, ends Python or never ends" in fault
    assert fault in page
    assert seen[f"{what} mended"][1:] == [seen["whole"][HAND], [], []]
