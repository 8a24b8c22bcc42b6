"""An edited page that is built alone is the page of a whole build."""

import json
from typing import Any

import pytest

from rlhf_explained import memo
from tests.test_build import ROOT, copied, driven

# builds the site once, then makes edits; prints what was shown
DRIVE = """
import json, sys
from pathlib import Path
from rlhf_explained.site import preview
from rlhf_explained.site.build import listen, render

root, pages = Path.cwd(), Path("pages").resolve()
log = listen(root, aloud=False)
assert render(root, pages, log, strict=False, address="http://127.0.0.1:1/") == ([], True)
preview.get_ready(pages)

def shown(source, page):
    log.forget()
    done = preview.show({root / source})
    return [done, (pages / page / "index.html").read_text(encoding="utf-8"), log.faults]

preview.PATIENCE = 20
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
seen["new"] = preview.show({root / "docs/new.md"})
seen["configuration"] = preview.show({root / "mkdocs.yml"})
seen["nothing"] = preview.show(set())
json.dump(seen, sys.stdout)
"""

HAND = "docs/guide/ppo-by-hand.md"
EDITS = [
    ("figure", "rlhf_explained/figures/history.py", "guide/history", "4, str(year)", "4, 'then'"),
    ("drawing fault", "rlhf_explained/figures/history.py", "guide/history", "str(year)", "1 / 0"),
    ("snippet", HAND, "guide/ppo-by-hand", "```python\n", "```python\nprint(6 * 7, 'alone')\n"),
    ("endless", HAND, "guide/ppo-by-hand", "```python\n", "```python\nwhile True: pass\n"),
    ("value", HAND, "guide/ppo-by-hand", "\n## ", "\n{{ value: nothing }}\n\n## "),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was shown at each edit: whether it could be, the page, and the faults that were told."""
    copy = copied(ROOT, tmp_path_factory.mktemp("preview") / "copy", memo.root())
    return driven(copy, DRIVE, json.dumps(EDITS))


def test_pages_built_alone_are_those_of_a_whole_build(seen: dict[str, Any]) -> None:
    alone = {name: page for name, (done, page, _) in seen["alone"].items() if done}
    assert len(alone) >= 15
    assert [name for name in alone if alone[name] != seen["whole"][name]] == []
    assert [name for name, (_, _, faults) in seen["alone"].items() if faults] == []


def test_what_is_made_of_other_pages_or_docstrings_waits_for_a_whole_build(
    seen: dict[str, Any],
) -> None:
    waits = {name for name, (done, *_) in seen["alone"].items() if not done}
    assert "docs/whole.md" in waits
    assert all(name.startswith("docs/reference/api/") for name in waits - {"docs/whole.md"})
    assert seen["new"] is seen["configuration"] is seen["nothing"] is False


def test_a_figure_is_drawn_by_its_newest_code(seen: dict[str, Any]) -> None:
    done, page, faults = seen["figure"]
    assert done
    assert ">then<" in page
    assert faults == []
    assert seen["figure mended"][1] == seen["whole"]["docs/guide/history.md"]


def test_a_figure_that_cannot_be_drawn_says_where(seen: dict[str, Any]) -> None:
    _, page, faults = seen["drawing fault"]
    assert len(faults) == 1
    assert "rlhf_explained/figures/history.py:42: ZeroDivisionError" in faults[0]
    assert "rlhf_explained/figures/history.py:42: ZeroDivisionError" in page
    assert seen["drawing fault mended"][1] == seen["whole"]["docs/guide/history.md"]


def test_a_snippet_shows_what_it_prints_now(seen: dict[str, Any]) -> None:
    done, page, faults = seen["snippet"]
    assert done
    assert len(faults) == 1
    line = faults[0].splitlines()[0]
    assert line.startswith(f"{HAND}:")
    assert f'<pre class="fault">{line}' in page
    assert "\n    42 alone\n" in page
    assert seen["snippet mended"][1:] == [seen["whole"][HAND], []]


def test_a_fault_is_shown_in_the_page(seen: dict[str, Any]) -> None:
    _, page, faults = seen["value"]
    assert "unknown value &#x27;nothing&#x27;" in page or "unknown value 'nothing'" in page
    assert faults[0].startswith(f"{HAND}:")


def test_code_that_never_ends_is_ended(seen: dict[str, Any]) -> None:
    _, page, (fault, *_) = seen["endless"]
    assert fault.startswith(f"{HAND}:")
    assert "this code, or what is above it, ends Python or never ends" in fault
    assert fault in page
    assert seen["endless mended"][1:] == [seen["whole"][HAND], []]
