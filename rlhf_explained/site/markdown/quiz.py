"""The quiz: a page's numbered questions, all at once or one at a time, without a script.

A question is written as any hidden answer, and its number makes it one of a quiz:

    ??? question "1. What problem does RLHF solve?"

        ??? wrong "They know too little."

            They have read a great deal.

        ??? right "They do not know what people want."

            Pretrained language models …

Its choices are hidden answers, too. Who opens one reads first whether it is the right one. Radio
buttons before the questions choose what the stylesheet shows. They belong to a form that says
`autocomplete="off"`, so that no browser brings back a choice when the page is loaded again.
Without the stylesheet all questions stand below each other.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement

from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE

from rlhf_explained.site import faults

_APART = {"data-search-exclude": ""}  # no words of the page: for search, and for who copies it


class Quiz(Treeprocessor):
    """Finds the numbered questions of a page and puts the switch and the numbers to them."""

    def run(self, root: Element) -> None:
        """Wrap the questions, which stand next to each other."""
        places = [place for place, child in enumerate(root) if _number(child)]
        if not places:
            return
        questions = list(root)[places[0] : places[-1] + 1]
        for place, question in enumerate(questions, 1):
            if _number(question) != place:
                root.append(_out_of_order(question, place))
                return
        for question in questions:
            if (found := _choices(question)) != 1:
                root.append(_not_one(question, found))
                return
            root.remove(question)
        root.insert(places[0], _quiz(questions))


def _number(element: Element) -> int | None:
    """The number of a question, or None if it is something else."""
    if element.tag != "details" or "question" not in element.get("class", "").split():
        return None
    found = re.match(r"(\d+)\. ", element.findtext("summary") or "")
    return int(found[1]) if found else None


def _out_of_order(element: Element, place: int) -> Element:
    words = (element.findtext("summary") or "".join(element.itertext())).strip().split("\n")[0]
    found = f"{words!r}" if words else f"<{element.tag}>"
    what = f"question {place} of the quiz should stand here, not {found}: number them in order, "
    return faults.element("div", f"{what}with nothing in between", re.escape(words))


def _choices(question: Element) -> int:
    """Begin what stands under each choice with whether it is right, and count the right ones."""
    kinds = {choice: choice.get("class", "").split() for choice in question.findall("details")}
    choices = [choice for choice, kind in kinds.items() if {"right", "wrong"} & {*kind}]
    for choice in choices:
        reason = next(iter(choice[1:]), choice)
        if reason.tag != "p" or HTML_PLACEHOLDER_RE.fullmatch((reason.text or "").strip()):
            reason = Element("p")
            choice.insert(1, reason)
        verdict = Element("strong")
        verdict.text = "Right." if "right" in kinds[choice] else "Not this one."
        verdict.tail, reason.text = f" {reason.text or ''}", ""
        reason.insert(0, verdict)
    if choices:
        asked = Element("p", {"class": "choose", **_APART})
        asked.text = "Choose one and open it:"
        question.insert(list(question).index(choices[0]), asked)
    return sum("right" in kinds[choice] for choice in choices)


def _not_one(question: Element, found: int) -> Element:
    words = (question.findtext("summary") or "").strip()
    what = f"question {words!r} has {found} right choices: write one `??? right` in it, and "
    return faults.element("div", f"{what}`??? wrong` for the others", re.escape(words))


def _quiz(questions: list[Element]) -> Element:
    quiz = Element("div", {"class": "quiz"})
    form = SubElement(quiz, "form", {"id": "quiz", "autocomplete": "off"})
    # HTML lets Enter submit a form, to nobody here; a button that is disabled forbids it
    SubElement(form, "button", {"type": "submit", "disabled": "", "hidden": ""}).text = "Submit"
    modes = SubElement(quiz, "fieldset", {"class": "modes", **_APART})
    SubElement(modes, "legend").text = "Show"
    for name, words in (("all", "All questions"), ("one", "One at a time")):
        label = SubElement(modes, "label")
        _radio(label, "mode", name, checked=name == "all").tail = f" {words}"
    every = SubElement(quiz, "fieldset", {"class": "questions"})
    SubElement(every, "legend", _APART).text = "Questions"
    for number, question in enumerate(questions, 1):
        # the number stands right before its question, so that Tab leads from one to the other
        label = SubElement(every, "label", {"class": "number", **_APART})
        radio = _radio(label, "question", str(number), checked=number == 1)
        radio.set("aria-label", f"Question {number} of {len(questions)}")
        SubElement(label, "span").text = str(number)
        every.append(question)
        if number < len(questions):
            following = {"class": "next", "for": f"quiz-{number + 1}", **_APART}
            SubElement(every, "label", following).text = "Next question"
    return quiz


def _radio(label: Element, group: str, name: str, *, checked: bool) -> Element:
    names = {"type": "radio", "form": "quiz", "id": f"quiz-{name}", "name": f"quiz-{group}"}
    return SubElement(label, "input", names | ({"checked": ""} if checked else {}))
