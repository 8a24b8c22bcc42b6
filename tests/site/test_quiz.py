"""The quiz: all questions or one at a time, by mouse and keyboard, remembered by nobody."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Page

from tests.site.conftest import ROOT, Show, Visit, patient

QUIZ = "guide/quiz/"
COUNT = len(re.findall(r'(?m)^\?\?\? question "\d+\.', (ROOT / "docs/guide/quiz.md").read_text()))
CHOICES = """
    ??? wrong "Not *that*."

        It is false.

    ??? right "So."

        Because *so*.
"""
TWO = f'??? question "1. Why?"\n{CHOICES}\n??? question "2. How?"\n{CHOICES}'
ONE_AT_A_TIME = "One at a time"


# As Markdown


def shape(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<main>{re.sub('&[a-z]+;', '', html)}</main>")


def test_numbered_questions_become_a_quiz(show: Show) -> None:
    page = shape(show(f"# Quiz\n\nWords.\n\n{TWO}\n## After\n"))
    assert [child.tag for child in page] == ["h1", "p", "div", "h2"]
    questions = page.find("div/fieldset[@class='questions']")
    assert questions is not None
    tags = "legend label details label label details"
    assert [child.tag for child in questions] == tags.split()
    reasons = ["".join(reason.itertext()) for reason in questions.findall("details/details/p")]
    assert reasons == 2 * ["Not this one. It is false.", "Right. Because so."]
    assert [text.text for text in questions.findall("details/p")] == 2 * ["Choose one and open it:"]
    (following,) = (label for label in questions if label.get("class") == "next")
    assert questions.findtext(f"label/input[@id='{following.get('for')}']/../span") == "2"
    assert page.find(".//details[@open]") is None


def test_other_questions_stay_as_they_are(show: Show) -> None:
    others = (
        '??? question "Why is my KL negative?"\n\n    Noise.\n\n??? note "1. Not asked"\n\n    x'
    )
    assert [child.tag for child in shape(show(others))] == ["details", "details"]


@pytest.mark.parametrize("right", [0, 2])
def test_a_question_without_exactly_one_right_choice_is_a_fault(
    right: int, show: Show, page: Path, caplog
) -> None:
    text = TWO.replace("??? right", "??? wrong") if not right else TWO.replace("wrong", "right")
    assert shape(show(text)).find("div[@class='fault']") is not None
    (message,) = caplog.messages
    assert message.startswith(f"{page}:1: question '1. Why?' has {right} right choices")


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        (TWO.replace("2.", "3."), 11, "'3. How?'"),
        (TWO.replace("1.", "2.").replace("2. How", "1. How"), 1, "'2. Why?'"),
        (TWO.replace('\n??? question "2', '\nBetween.\n\n??? question "2'), 11, "'Between.'"),
    ],
)
def test_questions_out_of_order_are_a_fault(
    text: str, line: int, found: str, show: Show, page: Path, caplog
) -> None:
    assert shape(show(text)).find("div[@class='fault']") is not None
    (message,) = caplog.messages
    assert message.startswith(f"{page}:{line}: question")
    assert found in message


# In a browser, with and without scripts


def shown(page: Page) -> list[str]:
    """The numbers of the questions that can be seen."""
    questions = page.locator(".questions > details > summary").all()
    return [one.inner_text().split(".")[0] for one in questions if one.is_visible()]


@pytest.mark.parametrize("scripts", [True, False])
def test_all_questions_or_one(scripts: bool, visit: Visit) -> None:
    every = [str(number + 1) for number in range(COUNT)]
    with visit(QUIZ, java_script_enabled=scripts) as page:
        assert shown(page) == every
        assert page.locator(".quiz details[open]").count() == 0
        page.get_by_label(ONE_AT_A_TIME).check()
        assert shown(page) == ["1"]
        page.get_by_label(f"Question 4 of {COUNT}").check(force=True)
        assert shown(page) == ["4"]
        page.get_by_text("Next question").locator("visible=true").click()
        assert shown(page) == ["5"]
        choice = page.locator(".questions > details:visible > details").first
        assert not choice.is_visible()
        page.locator(".quiz summary:visible").click()
        assert choice.is_visible()
        reason = choice.locator("p").first
        assert not reason.is_visible()
        choice.locator("summary").click()
        assert reason.is_visible()
        assert reason.locator("strong").first.inner_text() in ("Right.", "Not this one.")
        page.get_by_label(f"Question {COUNT} of {COUNT}").check(force=True)
        assert page.get_by_text("Next question").locator("visible=true").count() == 0
        page.get_by_label("All questions").check()
        assert shown(page) == every


def test_the_keyboard_is_enough(visit: Visit) -> None:
    def focused(page: Page) -> str:
        outlined = """() => { const e = document.activeElement, label = e.closest("label");
            const style = [e, label].filter(e => e).map(e => getComputedStyle(e));
            const outline = style.some(s => s.outlineStyle != "none" && s.opacity > 0);
            return outline && (e.ariaLabel || e.textContent || label.textContent).trim() }"""
        return str(page.evaluate(outlined))

    with visit(QUIZ) as page:
        page.get_by_label("All questions").focus()
        page.keyboard.press("ArrowRight")
        assert focused(page) == ONE_AT_A_TIME
        page.keyboard.press("Tab")
        assert focused(page) == f"Question 1 of {COUNT}"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert focused(page) == f"Question 3 of {COUNT}"
        assert shown(page) == ["3"]
        page.keyboard.press("Enter")  # submits nothing
        page.keyboard.press("Tab")
        assert focused(page).startswith("3. ")
        page.keyboard.press("Enter")
        assert page.locator(".quiz details[open] p").first.is_visible()
        assert page.url.endswith(QUIZ)


@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_is_remembered(scripts: bool, browser: Browser, address: str) -> None:
    context = patient(browser.new_context(java_script_enabled=scripts))
    page = context.new_page()
    page.goto(address + QUIZ)
    for again in (page.reload, lambda: (page.goto(address), page.go_back())):
        page.get_by_label(ONE_AT_A_TIME).check()
        page.get_by_label(f"Question 4 of {COUNT}").check(force=True)
        page.locator(".quiz summary:visible").click()
        again()
        assert page.get_by_label("All questions").is_checked()
        assert page.get_by_label(f"Question 1 of {COUNT}").is_checked()
        assert page.locator(".quiz details[open]").count() == 0
    assert context.cookies() == []
    assert "quiz" not in str(context.storage_state())
    context.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_it_prints_whole(scripts: bool, visit: Visit) -> None:
    with visit(QUIZ, java_script_enabled=scripts) as page:
        page.get_by_label(ONE_AT_A_TIME).check()
        page.emulate_media(media="print")
        assert len(shown(page)) == COUNT
        answers = page.locator(".quiz details details > summary + *").all()
        heights = [answer.bounding_box() for answer in answers]
        assert len(heights) >= 3 * COUNT
        assert all(box and box["height"] > 10 for box in heights)
        assert not page.locator(".quiz label:visible").count()
