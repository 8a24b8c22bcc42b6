"""A page of each kind in Firefox: no error, all figures and formulas drawn."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.site.conftest import SITE, node, not_run, soup

KINDS = ("", "guide/ppo/", "guide/quiz/", "notebooks/01_what_is_rlhf/", "reference/glossary/")
WITH_EXPLORABLES = ("guide/over-optimisation/", "guide/dpo-grpo-best-of-n/", "guide/ppo-by-hand/")
KINDS += ("reference/api/formulas/kl/", "404.html", *WITH_EXPLORABLES)


def seen(*addresses: str) -> list[dict[str, Any]]:
    """What Firefox sees in pages, each described as `firefox.cjs` says."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if not path:
        not_run("Firefox", "apt-get install firefox-esr")
    done = node(str(Path(__file__).parent / "firefox.cjs"), str(path), *addresses)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def trained_whole(leash: dict[str, Any]) -> bool:
    """Whether a training without the leash came to its end, was drawn, and has the focus."""
    assert leash["said"].startswith("Live, β = 0: after 50 rounds")
    return leash["focused"] and len(leash["curves"]) == 3 and min(leash["curves"]) >= 5


def test_pages_of_each_kind(address: str) -> None:
    for page in seen(*(address + name for name in KINDS)):
        assert page["wrong"] == [], page
        assert page["sideways"] == 0, page
        assert page["fonts"] == [], page
        assert all(page["figures"]), page
        assert all(page["formulas"]), page
        assert all(page["explorables"]), page
        if page["address"].endswith("/ppo/"):
            assert len(page["figures"]) >= 3
            shown = [
                math
                for math in soup("guide/ppo/").select("article math")
                if not math.find_parent("details")
            ]
            assert len(page["formulas"]) == len(shown) > 0
        if page["address"] in (address + name for name in ("", *WITH_EXPLORABLES)):
            assert page["explorables"]
        if page["address"].endswith("/over-optimisation/"):
            assert trained_whole(page["leash"])


def test_a_page_in_a_folder() -> None:
    names = ("", "guide/ppo/", *WITH_EXPLORABLES)
    for page in seen(*(f"{SITE.as_uri()}/{name}index.html" for name in names)):
        assert page["wrong"] == []
        assert all(page["figures"] + page["formulas"] + page["explorables"])
        if "/over-optimisation/" in page["address"]:
            assert trained_whole(page["leash"])


@pytest.mark.parametrize("folder", [False, True])
def test_a_lesson_of_eight_choices(folder: bool, address: str) -> None:
    start = f"{SITE.as_uri()}/teach-it/index.html" if folder else f"{address}teach-it/"
    (page,) = seen(start)
    lesson = page["lesson"]
    assert page["wrong"] == []
    assert lesson["chosen"].startswith("8 choices.")
    assert lesson["trained"].startswith("Trained on 8 choices.")
    assert len(lesson["shares"]) == 7
    assert any(before != after for _, before, after in lesson["shares"])
    for _, *shares in lesson["shares"]:
        assert all(share.endswith(" %") for share in shares)
    assert len(lesson["curves"]) == 2
    assert min(lesson["curves"]) >= 20


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        ("<script>nothing.at.all</script>", "wrong"),
        ('<img src="gone.png" alt="">', "wrong"),
        ('<figure><svg width="0"></svg></figure>', "figures"),
        ("<math></math>", "formulas"),
        ('<figure class="explore"><button>Try</button></figure>', "explorables"),
        ('<p style="width: 9999px">wide</p>', "sideways"),
    ],
)
def test_what_is_wrong_is_seen(planted: str, what: str, address: str) -> None:
    whole = (SITE / "guide" / "summary" / "index.html").read_text(encoding="utf-8")
    page = SITE / "guide" / "summary" / "planted.html"
    page.write_text(whole.replace("</article>", f"{planted}</article>"), encoding="utf-8")
    try:
        (found,) = seen(f"{address}guide/summary/planted.html")
    finally:
        page.unlink()
    good = all(found[what]) if what in ("figures", "formulas", "explorables") else not found[what]
    assert not good, found
