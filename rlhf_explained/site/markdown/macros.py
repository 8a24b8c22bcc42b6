"""`{{ value: ppo-gold }}` becomes a measured value, `{{ minutes: guide/*.md }}` a reading time."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString

from rlhf_explained import measured
from rlhf_explained.site import faults
from rlhf_explained.site.markdown import reading_time
from rlhf_explained.site.shown_run import current_run

MACRO = r"\{\{(.*?)\}\}"
_CALL = re.compile(r"\s*(\w+):\s*([^\s{}]+)\s*")
_HAS_UNIT = re.compile("\\d\N{NO-BREAK SPACE}\\D+$")
_UNIT = re.compile(
    r"[\s-]?(%|(?:per ?cent|(?:percentage )?points|nats?|bits?|tokens?|minutes?|seconds?|s|ms)\b)"
)


class Macros(InlineProcessor):
    """All braces of this kind: what nobody knows is a fault. Code is matched earlier."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element, int, int]:  # type: ignore[override]  # noqa: N802
        """Expand one."""
        words = m[0]
        try:
            element = _expanded(m[1])
            unit = _UNIT.match(data, m.end()) if _HAS_UNIT.search(element.text or "") else None
            if unit:
                words += unit[0]
                raise ValueError(f"{element.text!r} has its unit: take {unit[1]!r} out behind it")
        except ValueError as error:
            element = faults.element("span", str(error), re.escape(words))
        return element, m.start(), m.end()


def _expanded(macro: str) -> Element:
    known = {"value": _value, "minutes": _minutes}
    call = _CALL.fullmatch(macro)
    if not call:
        raise ValueError(f"{macro.strip()!r} is no macro: write `{{{{ value: NAME }}}}`")
    if call[1] not in known:
        raise ValueError(f"unknown macro {call[1]!r}; {faults.nearest(call[1], known)}")
    return known[call[1]](call[2])


def _value(name: str) -> Element:
    if name not in measured.names():
        raise ValueError(f"unknown value {name!r}; {faults.nearest(name, measured.names())}")
    try:
        value = measured.value(name, current_run())
    except Exception as error:  # the code of one value
        why = f"value {name!r} cannot be computed: {faults.raised(error)}; mend that line"
        raise ValueError(why) from None
    look = "measured sentence" if len(value.text) > 40 else "measured"
    element = Element("span", {"class": look, "title": f"Measured: {value.note}"})
    element.text = AtomicString(value.text)
    return element


def _minutes(name: str) -> Element:
    pages = sorted(reading_time.DOCS.glob(name))
    if not pages:
        what = f"no page {name!r} in docs/ to take the time of: name pages that are there"
        raise ValueError(what)
    time = Element("span", {"class": "time"})
    times = [reading_time.minutes(page.read_text(encoding="utf-8")) for page in pages]
    time.text = AtomicString(reading_time.in_words(sum(times)))
    return time
