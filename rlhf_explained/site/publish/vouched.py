"""Finds numbers in prose that nobody vouches for: typed, where they should be measured or cited.

Decimals, percentages and numbers from 100 on are looked at, but not years. Such a number is vouched
for if it is a value; if code, an output, a formula or a table of data on the same page shows it; if
an equation in its sentence gives it; if its sentence, or its row of a table, links to a source; or
if its sentence says that it is made up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)*|\.\d+"
_NUMBER = re.compile(rf"(?<![\w.,/$§])(?<!\w-)({_DIGITS})(\s?%)?(?![\w/])")
_NAMED = re.compile(r"\b(?:section|version|Python|Llama|GPT|TRL) [\d.]+")  # as others number things
_EQUATION = re.compile(rf"[−-]?(?:{_DIGITS})(?: [−+×·/] (?:{_DIGITS}))+ = [−-]?(?:{_DIGITS})")
_SHOWN = "pre, code, math, figure, .output, .samples"
_APART = f"{_SHOWN}, .measured, .time, .fault, h1, h2, h3, svg, script, sup, .headerlink"
_BLOCKS = "p, li, tr, dd"
_SENTENCE = re.compile(r"(?<=[.!?])[)”\"]*\s+(?=[A-Z(“\"])")
_MADE_UP = re.compile(r"\b(?:illustrat|invented|suppose|imagine|say\b)", re.I)
_CITED = "\N{INVISIBLE SEPARATOR}"


def faults(page: Path) -> Iterator[tuple[str, str]]:
    """Look for such numbers, and for equations that do not hold, in a built page.

    Args:
        page: Its HTML.

    Yields:
        What is wrong and how to mend it, and the words as they stand there.
    """
    article = LexborHTMLParser(page.read_text(encoding="utf-8")).css_first("article")
    if not article:
        return
    shown = {_value(found) for part in article.css(_SHOWN) for found in _numbers(part.text())}
    for link in article.css("a[href]"):
        if re.search(r"^https?:|bibliography/", link.attributes["href"] or ""):
            link.insert_after(_CITED)
    for apart in article.css(_APART):
        apart.decompose()
    for block in article.css(_BLOCKS):
        if any(inner.mem_id != block.mem_id for inner in block.css(_BLOCKS)):
            continue  # which come by themselves
        row = block.tag == "tr"
        text = _NAMED.sub("", block.text(separator=" " if row else ""))
        for sentence in [text] if row else _SENTENCE.split(text):
            yield from _in_sentence(sentence, shown)


def _in_sentence(sentence: str, shown: set[float]) -> Iterator[tuple[str, str]]:
    known = {*shown}
    for equation in _EQUATION.findall(sentence):
        side, result = equation.replace(",", "").replace("−", "-").split(" = ")
        left, right, digits = _worth(side), float(result), len(result.partition(".")[2])
        if not abs(left - right) <= 0.5001 * 10**-digits:
            yield f"{equation} does not hold: the left side is {left:.6g}; mend it", equation
        known.add(abs(right))
    if _CITED in sentence or _MADE_UP.search(sentence):
        return
    for found in _numbers(sentence):
        number, percent = found
        if _is_claim(number, percent) and _value(found) not in known:
            what = (
                f"nobody vouches for {number}{percent}: make it a value, show it by code, cite its "
                "source in the sentence, or say there that it is illustrative"
            )
            yield what, number


def _worth(side: str) -> float:
    """What a side of an equation comes to: numbers and operators, with a blank between them."""
    first, *rest = side.split()
    terms = [float(first)]
    for operator, number in zip(rest[::2], map(float, rest[1::2]), strict=True):
        if operator in "+-":
            terms.append(number if operator == "+" else -number)
        elif operator == "/":
            terms[-1] = terms[-1] / number if number else math.inf
        else:
            terms[-1] *= number
    return sum(terms)


def _numbers(text: str) -> list[tuple[str, str]]:
    return [found for found in _NUMBER.findall(text) if found[0].count(".") < 2]  # or a version


def _value(found: tuple[str, str]) -> float:
    number, percent = found
    return round(float(number.replace(",", "")) / (100 if percent else 1), 9)


def _is_claim(number: str, percent: str) -> bool:
    if percent:
        return number not in ("0", "95", "100")  # nothing, everything, and the usual confidence
    if "." in number:
        return True
    return (whole := int(number.replace(",", ""))) >= 100 and not 1900 <= whole < 2100
