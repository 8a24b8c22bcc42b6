"""Docstrings that were rendered before look and are checked as if rendered anew."""

from typing import Any

import pytest

from rlhf_explained import memo
from tests.test_build import ROOT, copied, driven

# builds five times: anew, from the memo, from a half of it, and with a fault in a docstring twice;
# prints what came
DRIVE = """
import json, shutil, sys
from pathlib import Path
from mkdocstrings_handlers.python import PythonHandler
from rlhf_explained.site.build import listen, render

root = Path.cwd()
log = listen(root, aloud=False)
shutil.rmtree(".cache/docstrings", ignore_errors=True)
plain, made = PythonHandler.render, []

def counting(handler, data, *others, **more):
    made[-1] += 1
    return plain(handler, data, *others, **more)

PythonHandler.render = counting

def build():
    made.append(0)
    faults, _ = render(root, Path("pages").resolve(), log, strict=False)
    kept = [*Path("pages/reference/api").rglob("index.html"), Path("pages/objects.inv")]
    return {str(path): path.read_bytes().hex() for path in kept}, faults

anew, remembered = build(), build()
for entry in sorted(Path(".cache/docstrings").glob("*/"))[::2]:
    shutil.rmtree(entry)
half = build()
module = Path("rlhf_explained/formulas/kl.py")
text = module.read_text(encoding="utf-8")
module.write_text(text.replace("    Args:\\n", "    Args:\\n        bogus: Is no parameter.\\n", 1))
json.dump([anew, remembered, half, build()[1], build()[1], made], sys.stdout)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What came of the five builds, and how many blocks each rendered."""
    copy = copied(ROOT, tmp_path_factory.mktemp("docstrings") / "copy", memo.root())
    return driven(copy, DRIVE)


def test_they_look_the_same(built: list[Any]) -> None:
    (anew, faults), (remembered, again), (half, once_more), *_, made = built
    assert faults == again == once_more == []
    assert len(anew) > 30
    assert [name for name in anew if anew[name] != remembered[name]] == []
    assert [name for name in anew if anew[name] != half[name]] == []
    assert made[0] > 50
    assert made[1] == 0
    assert 0 < made[2] < made[0]


def test_a_fault_is_said_again_each_time(built: list[Any]) -> None:
    *_, first, second, made = built
    assert first
    assert all(
        "rlhf_explained/formulas/kl.py:24: " in fault and "bogus" in fault for fault in first
    )
    assert second == first
    assert made[3] == made[0]  # another file of the package may decide how any block looks
    assert made[4] >= 1
