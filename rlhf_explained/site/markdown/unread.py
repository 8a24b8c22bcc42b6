"""Finds what only looks like Markdown: it would stand on the page as it was typed, or fall apart.

Markdown has no errors: what it cannot read is text. So the source is looked at before Markdown
reads it, and what looks like syntax still is looked for in the text that came out.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html.entities import html5
from itertools import pairwise
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions.toc import slugify
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from rlhf_explained import measured
from rlhf_explained.site import faults

# What boxes are called: by the stylesheet, then by the theme.
BOXES = (
    *("learn", "words", "solution", "question", "right", "wrong", "note", "abstract", "info"),
    *("tip", "success", "warning", "failure", "danger", "bug", "example", "quote"),
)
_LIKE_LATIN = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο\u0400-\u052f\uff21-\uff5a"  # Greek, Cyrillic, of double width
_LATER = "3[2-9]|[4-9][0-9]|30(?= Feb)|31(?= (?:Feb|Apr|Jun|Sep|Nov))"  # than any last day
# In any line, code too.
ANYWHERE = {
    "(?:<{7}|>{7})(?: .*|$)|={7}": "a merge that conflicted left this line: choose one side",
    ".*[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff].*": (
        "a character that nobody sees stands in this line, and may reorder it: write it anew"
    ),
    rf".*(?:[A-Za-z][{_LIKE_LATIN}]|[{_LIKE_LATIN}][A-Za-z]).*": (
        "a word here has a letter that only looks Latin, so no search finds it: type it anew"
    ),
}
# In the text that came out, but for code and formulas; of a paragraph, where a line starts.
START = "(?m)^"
LEFT_OVER = {
    r"\$\$": "these dollars begin no formula: leave a blank line above and below it",
    r"\\[a-zA-Z]{2,}": "this TeX stands outside of dollars: put it between them",
    r"\[\^[^\]\s]+\]": "this footnote has no text: write it below, as `[^name]: …`",
    r"!?\[[^\]\n]+\]\[(?!rlhf_explained)[^\]\n]*\]": (
        "this names no address: write it below, as `[name]: address`"
    ),
    r"(?m)^(?:[-*+]|\d{1,2}[.)]) ": "this is no list: leave a blank line above it",
    r"(?m)^\|.*\|$": "this is no table: leave a blank line above it, and dashes under its head",
    r"(?m)^(?:!!!|\?\?\?)": "this is no box: leave a blank line above it",
    r"^\[[ xX]\] ": "Markdown here has no boxes to tick: write ✓ or ✗",
    r"\[!(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]": "here a box begins with `!!! note`",
    r"~~(?=\S)": "Markdown here crosses nothing out: write it anew",
    r"(?<![\w:]):[a-z]+(?:_[a-z]+)*:(?!\w)": "no sign has a name here: write the sign itself",
    r"\*\*|(?<!`)`(?!`)": "this begins or ends nothing: close it, or write a backslash before it",
    r"\{\s*\{|\}\s*\}": "these braces call nothing: write `{{ value: NAME }}`",
    rf"\b(?:{_LATER}) (?:{'|'.join(calendar.month_name[1:])})\b": (
        "no calendar has this day: look the date up"
    ),
    r"\b(?!that\b|had\b)([a-z]+)\s\1\b": "this word stands here twice: take one out",
    r"\{[a-z]+(?:-[a-z0-9]+)+\}": (
        "nothing fills these braces: write `{{ value: NAME }}`; in a notebook, let a cell print it"
    ),
}
_FENCE = re.compile(r"[ >]*(`{3,}|~{3,})\s*\{?\.?(\w*)(.*)")
_ITEM = re.compile(r" *(?:[-*+]|\d{1,2}\.) +\S.*")
_BOX = re.compile(r" *(?:!!!|\?\?\?\+?) ?(\w[\w-]*).*")
_DASHES = re.compile(r" *\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?")
_TAG = re.compile(r"<(/?)(details|summary|div|span|table|figure|sub|sup)\b")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+")
_LONG = 8  # words of a sentence that nobody writes twice on purpose
_COUNTS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_COUNTED = re.compile(rf"(?i)^({'|'.join(_COUNTS)}) [^:]*$|\b({'|'.join(_COUNTS)}) \w+:$")


def fenced(lines: Iterable[str]) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Tell code from prose.

    Args:
        lines: Of Markdown.

    Yields:
        Each line, and what opens the fence that it belongs to: fence, language and the rest of that
        line, which is the match's `string`.
    """
    fence: re.Match[str] | None = None
    for line in lines:
        fence, ends = fence or _FENCE.fullmatch(line), fence and line.strip(" >") == fence[1]
        yield line, fence
        fence = None if ends else fence


class Source(Preprocessor):
    """Keeps a page's lines before anything is made of them, and finds what will be misread.

    Attributes:
        lines: As they were written.
        faults: What is wrong, to be shown on the page.
    """

    lines: list[str]
    faults: list[Element]

    def run(self, lines: list[str]) -> list[str]:
        """Look, and change nothing."""
        self.lines, self.faults = lines, []
        for line in lines:
            for sign, why in ANYWHERE.items():
                if re.fullmatch(sign, line):
                    self._report(line, why)
        parts = list(fenced(lines))
        for line, fence in parts:
            own = fence and fence[2] in ("figure", "samples", "explore") and fence.string is line
            if fence and own and (words := fence[3].strip(" }")):
                name = fence[2]
                why = f"{name} takes nothing on its first line: put {words!r} below it"
                self._report(line, why)
        # of a fence its first line is enough
        shown = [line for line, fence in parts if not fence or fence.string is line]
        prose = re.sub(r"(`+).+?\1", "", "\n".join(shown))
        if unclosed := re.search(r"<!--(?!.*?-->).*", prose, re.S):
            line = unclosed[0].split("\n")[0]
            self._report(line, "this comment swallows all below it: close it with -->")
        self._find_misspelt_html(re.sub(r"<!--.*?-->", "", prose, flags=re.S))
        prose = re.sub(r"<!--.*?-->", "", "\n".join(shown), flags=re.S)
        plain = [re.sub(r"^(?: {0,3}> ?)+", "", line.expandtabs(4)) for line in prose.split("\n")]
        self._find_misplaced(plain)
        self._find_uneven(plain)
        return lines

    def _report(self, line: str, why: str) -> None:
        place = rf"(?m)^[ \t#>]*{re.escape(line.strip())}[ \t]*$"
        self.faults.append(faults.element("div", why, place))

    def _find_misspelt_html(self, prose: str) -> None:
        """Find signs that HTML does not know, and elements that nothing closes."""
        for sign in re.findall(r"&\w+;", prose):
            if sign[1:] not in html5:
                why = f"HTML knows no {sign!r}: type the sign itself"
                self.faults.append(faults.element("div", why, re.escape(sign)))
        tags = Counter(_TAG.findall(prose))
        for tag in sorted({tag for _, tag in tags}):
            if tags["", tag] > tags["/", tag]:
                why = f"nothing closes this <{tag}>: write `</{tag}>` where it ends"
                place = rf"(?s)<{tag}\b(?!(?:(?!<{tag}\b).)*</{tag}>)"
                self.faults.append(faults.element("div", why, place))

    def _find_misplaced(self, lines: list[str]) -> None:
        """Find what is indented, but not so that it belongs to the list or box above it.

        And items whose number the page would not show, since something ended their list.
        """
        within, box = False, ""
        numbers: dict[int, int] = {}  # of the last item at each depth
        for before, line in pairwise(["", *lines]):
            if not line.strip() or line.lstrip().startswith("<"):
                continue
            depth = len(line) - len(line.lstrip())
            kind = _BOX.fullmatch(line)
            if kind and kind[1] not in BOXES:
                why = f"no box is called {kind[1]!r}; {faults.nearest(kind[1], BOXES)}"
                self._report(line, why)
            opens = _ITEM.fullmatch(line) or kind
            begins = opens or _FENCE.fullmatch(line) or not before.strip() or box
            if begins:
                item = re.match(r" *(\d{1,2})\. ", line)
                numbers = {d: n for d, n in numbers.items() if d < depth + bool(item)}
                number = int(item[1]) if item else 1
                if number not in (1, numbers.get(depth, 0) + 1):
                    why = f"the list ended above this item, which will not be {number}: indent by "
                    self._report(line, f"{why}four blanks what belongs to the item before it")
                if item:
                    numbers[depth] = number
            if depth % 4 and begins and (within or opens):
                why = (
                    f"this is indented by {depth} blanks, so it falls out of the list or box above"
                )
                self._report(line, f"{why}: indent it by a multiple of four")
            elif box and depth < len(box) - len(box.lstrip()) + 4:
                self._report(box, "this box is empty: indent by four blanks what belongs into it")
            within = bool(opens) or (within and depth > 0)
            box = line if kind else ""

    def _find_uneven(self, lines: list[str]) -> None:
        """Find rows of tables that have not as many cells as the head, or values of others."""
        count, head = 0, ""
        for before, line in pairwise(["", *lines]):
            if _DASHES.fullmatch(line) and "|" in before:
                count, head = _cells(before), before
            count = count if "|" in line else 0
            if count and _cells(line) != count:
                why = f"this row has {_cells(line)} cells, the head of its table {count}: mend one"
                self._report(line, rf"{why}, or write `\|` for a stroke within a cell")
            elif count:
                self._find_strangers(line, head)

    def _find_strangers(self, row: str, head: str) -> None:
        """Find values in a table whose row or column is named after another one."""
        (label, *cells), (_, *columns) = (
            each.strip().strip("|").split("|") for each in (row, head)
        )
        for cell, column in zip(cells, columns, strict=False):
            for value in re.findall(r"\{\{ *value: *([\w-]+)", cell):
                for name in {*_meant(value, label), *_meant(value, column)} - {value}:
                    why = f"this row shows {value} where its labels say {name}: mend one"
                    self._report(row, why)


def _cells(row: str) -> int:
    row = re.sub(r"\\\||(`+).+?\1", "", row)
    return re.sub(r"^\s*\||\|\s*$", "", row).count("|") + 1


def _meant(value: str, said: str) -> Iterator[str]:
    """The values that the name of a row or a column stands for, in the place of one."""
    parts = value.split("-")
    stage = re.search(r'"stage-(\w+)"', said)
    words = slugify(re.sub(r"<[^>]*>|\]\([^)]*\)", "", said), "-").split("-")
    kinds = [kind for kind in (words[0], "-".join(words[:2])) if not value.endswith(f"-{kind}")]
    names = ["-".join([*parts[:n], kind]) for kind in kinds for n in range(1, len(parts))]
    names.append("-".join([stage[1] if stage else words[0], *parts[1:]]))
    if words in (["ppo"], ["ppo", "0"]):  # with the KL penalty, and with β = 0
        policy = re.match("ppo(-no-kl)?-", value)
        rest = value.removeprefix(policy[0]) if policy else ""
        names.append(f"ppo-{'no-kl-' * len(words[1:])}{rest}")
    yield from {*names} & {*measured.names()}


class Leftovers(Treeprocessor):
    """Finds what stayed as it was typed, or leads nowhere, when all else is done."""

    def __init__(self, md: Markdown, source: Source) -> None:
        super().__init__(md)
        self.source = source

    def run(self, root: Element) -> None:
        """Report each, at the top of the page, where who serves it sees it."""
        found = self.source.faults
        for tag, text in _texts(root):
            for sign, why in LEFT_OVER.items():
                left = re.search(sign, text) if tag == "p" or not sign.startswith(START) else None
                if left:
                    begin = text[left.start() :].split("\n\n")[0][:40]
                    words = begin.split() if len(begin) < 40 else begin.split()[:-1] or [begin]
                    place = r"[\s#>]+".join(map(re.escape, words))
                    found.append(faults.element("div", f"{' '.join(words)!r}: {why}", place))
                    break
        for link in root.iter("autoref"):
            name = link.get("identifier", "")
            if not name.startswith("rlhf_explained"):
                why = f"nothing says where {name!r} leads: write it below, as `[{name}]: address`"
                found.append(faults.element("div", why, rf"\[{re.escape(name)}\](?![(:])"))
                link.tag, link.attrib = "span", {}
        headings = [each for each in root.iter() if re.fullmatch(r"h[1-6]", str(each.tag))]
        met: Counter[tuple[str, str]] = Counter()
        for place, heading in enumerate(headings):
            words = "".join(heading.itertext()).split("\x02")[0]  # where the link to it begins
            met[heading.tag, words] += 1
            why, above = "", headings[place - 1].tag if place else "h6"
            if heading.tag == "h1" and place and "=======" not in self.source.lines:
                why = f"{words!r} is a second title: give it two marks `##`"
            elif met[heading.tag, words] > 1:
                why = f"{words!r} is the second heading of this name: give it another"
            elif int(heading.tag[1]) > int(above[1]) + 1:
                why = f"{words!r} leaves a level out: give it {int(above[1]) + 1} marks"
            elif re.fullmatch(r"_\d+", heading.get("id", "")):
                why = f"no link can name {words!r}, which has no letter a to z: add `{{#a-name}}`"
            if why:
                place = rf"(?m)^(?:# )?#+ {re.escape(words)}"
                last = rf"{place}(?![\s\S]*{place.removeprefix('(?m)')})"
                found.append(faults.element("div", why, last))
        found += _miscounted(root)
        found += _repeated(root)
        self._find_idle_footnotes(root)
        for place, fault in enumerate(found):
            root.insert(place, fault)
        self.source.faults = []

    def _find_idle_footnotes(self, root: Element) -> None:
        named = {element.get("id", "") for element in root.iter("sup")}
        for notes in root.iter("ol"):
            for note in list(notes):
                name = note.get("id", "").removeprefix("fn:")
                if note.get("id") == f"fn:{name}" and f"fnref:{name}" not in named:
                    notes.remove(note)
                    why = f"nothing refers to the footnote [^{name}]: do so, or take it out"
                    fault = faults.element("div", why, rf"\[\^{re.escape(name)}\]:")
                    self.source.faults.append(fault)


def _miscounted(root: Element) -> Iterator[Element]:
    """Find lists that have not as many items as the words right above them say."""
    for above, below in pairwise(root):
        words = "".join(above.itertext()).split("\x02")[0].strip()
        said = _COUNTED.search(words.split("\n")[-1]) if below.tag in ("ol", "ul") else None
        if said:
            count, items = said[1] or said[2], len(below.findall("li"))
            if items != _COUNTS.index(count.lower()) + 2:
                why = f"{said[0]!r} has {items} items below it: mend one"
                yield faults.element("div", why, re.escape(said[0]))


def _repeated(root: Element) -> Iterator[Element]:
    """Find long sentences that stand twice in a page's paragraphs, as after a merge."""
    met = set()
    for paragraph in root.findall("p"):
        if paragraph.find(".//*[@class='fault']") is not None:
            continue
        for sentence in _SENTENCE.split("".join(paragraph.itertext())):
            words = sentence.split()
            if len(words) >= _LONG and sentence in met:
                begin = r"[\s#>]+".join(map(re.escape, words[:3]))
                why = f"this sentence stands here twice: take one out: {' '.join(words[:6])} …"
                yield faults.element("div", why, rf"{begin}(?![\s\S]*{begin})")
            met.add(sentence)


def _texts(element: Element) -> Iterator[tuple[str, str]]:
    """The text that came from Markdown, but for code, with the tag of what it stands in."""
    if element.tag in ("code", "pre"):
        return
    texts = [element.text, *(child.tail for child in element)]
    yield from (
        (element.tag, text) for text in texts if text and not isinstance(text, AtomicString)
    )
    for child in element:
        yield from _texts(child)
