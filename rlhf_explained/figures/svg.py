"""From a drawing to an inline SVG that follows the page's theme and shares the page with others."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import groupby
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from rlhf_explained.figures.colours import SENTINELS
from rlhf_explained.figures.draw import Figure, size, styled

_SVG = "{http://www.w3.org/2000/svg}"
_XMLNS = ' xmlns="http://www.w3.org/2000/svg"'
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_TOKEN = re.compile(r"[A-Za-z]|-?[\d.]+(?:e-?\d+)?")
_PAIRS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}  # points that a command of a path takes
_CIRCLE = ["M", *"CCCCCCCC", "Z"]  # as matplotlib draws one
_PLACE = {"x", "y", "cx", "cy", "r", "width", "height", "transform", "d"}
_NUMBERS = {*_PLACE, "stroke-width"} - {"transform", "d"}
_NUMBERS |= {"fill-opacity", "stroke-opacity"}
# What a browser takes for granted anyway, or what the root says for all.
_DEFAULTS = {
    ("stroke-dashoffset", "0"),
    ("stroke-linecap", "butt"),
    ("text-anchor", "start"),
    ("font-weight", "400"),
}
_FOR_ALL = {"fill": "none", "font-size": "11", "stroke-linejoin": "round"}
FONT = "system-ui, sans-serif"  # of a drawing that stands alone; a page sets its own

Piece = tuple[str, list[tuple[float, float]]]  # a command of a path and its points


def to_svg(figure: Figure, name: str) -> str:
    """The drawing as an inline SVG, the same bytes each time.

    Ids start with the figure's name, so that several figures share a page without clashing. Colours
    are attributes for a reader who has the drawing alone, and classes that the site's stylesheet
    gives the colours of the theme. Paths are relative and all numbers short: half the bytes.
    """
    written = io.StringIO()
    with styled():
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing)
    root = ElementTree.fromstring(written.getvalue())
    definitions = {one.attrib["id"]: one for one in _definitions(root)}
    marks = []
    for mark in _marks(root, {}):
        if mark.tag == "use":
            _place(mark, definitions[mark.attrib.pop("href")[1:]].attrib["d"])
        unseen = mark.get("fill", "none") == "none" and mark.get("stroke", "none") == "none"
        if unseen or (mark.tag == "text" and not (mark.text or "").strip()):
            continue
        _unclip(mark, definitions)
        _shorten(mark)
        mark.attrib = {k: v for k, v in mark.attrib.items() if _FOR_ALL.get(k) != v}
        marks.append(mark)
    # Text stands on top of everything, beside other text that looks alike.
    marks.sort(key=lambda mark: (mark.tag == "text") * repr(_look(mark)))

    width, height = (round(length) for length in size(figure))
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg"})
    svg.attrib |= _frame(width, height) | _FOR_ALL
    svg.extend([*definitions.values(), *_grouped(marks)])
    _rename(svg, name)
    for element in svg.iter():
        _theme(element)
    return ElementTree.tostring(svg, encoding="unicode").replace(" />", "/>")


def stacked(pages: list[str]) -> str:
    """One drawing of several, each below the last; `figures.titled` takes them apart again."""
    roots = [ElementTree.fromstring(page.replace(_XMLNS, "", 1)) for page in pages]
    sizes = [[int(length) for length in root.attrib["viewBox"].split()[2:]] for root in roots]
    whole = Element("svg", {"xmlns": "http://www.w3.org/2000/svg"})
    whole.attrib |= _frame(max(width for width, _ in sizes), sum(height for _, height in sizes))
    top = 0
    for root, (width, height) in zip(roots, sizes, strict=True):
        del root.attrib["font-family"]
        root.attrib |= {"y": str(top), "width": str(width), "height": str(height)}
        top += height
    whole.extend(roots)
    return ElementTree.tostring(whole, encoding="unicode").replace(" />", "/>")


def _frame(width: int, height: int) -> dict[str, str]:
    """What the root of a drawing says of its size, in points and in pixels, and of its font."""
    pixels = {"width": _short(width * 4 / 3), "height": _short(height * 4 / 3)}
    return {"viewBox": f"0 0 {width} {height}", "font-family": FONT, **pixels}


def _plain(element: Element) -> Element:
    """The element alone, its tag and attributes as they are written in HTML."""
    plain = Element(element.tag.removeprefix(_SVG))
    plain.text = element.text if plain.tag == "text" else None
    for key, value in element.attrib.items():
        if key == _LINK:
            plain.attrib["href"] = value
        elif key == "style":
            for part in filter(None, (part.strip() for part in value.split(";"))):
                key, _, setting = part.partition(": ")
                if key not in ("font-family", "stroke-linejoin"):
                    plain.attrib[key] = setting.removesuffix("px")
        else:
            plain.attrib[key] = value
    plain.attrib = {k: v for k, v in plain.attrib.items() if (k, v) not in _DEFAULTS}
    return plain


def _marks(element: Element, given: dict[str, str]) -> Iterator[Element]:
    """All that is painted, in order, without groups: what a group says, its members say."""
    for child in element:
        mark = _plain(child)
        mark.attrib.pop("id", None)
        if mark.tag == "g":
            yield from _marks(child, given | mark.attrib)
        elif mark.tag in ("path", "use", "text", "rect"):
            mark.attrib = given | mark.attrib
            yield mark


def _definitions(root: Element) -> Iterator[Element]:
    """What other elements refer to: markers, hatches, boxes to cut at."""
    for child in (child for definitions in root.iter(f"{_SVG}defs") for child in definitions):
        definition = _plain(child)
        if definition.tag != "style":
            definition.extend(_plain(part) for part in child)
            if definition.tag != "path":  # not a marker
                for part in definition.iter():
                    _shorten(part, digits=2)
            yield definition


def _place(mark: Element, shape: str) -> None:
    """Put a marker where it is used: that is no longer than the reference to it."""
    x, y = float(mark.attrib.pop("x")), float(mark.attrib.pop("y"))
    pieces = _pieces(shape)
    if [command for command, _ in pieces] == _CIRCLE:
        mark.tag, radius = "circle", pieces[0][1][0][1]
        mark.attrib |= {"cx": str(x), "cy": str(y), "r": str(radius)}
        return
    mark.tag = "path"
    mark.attrib["d"] = "".join(
        command + " ".join(f"{px + x} {py + y}" for px, py in points) for command, points in pieces
    )
    if len(pieces) == 2:  # a line has no inside
        mark.attrib["fill"] = "none"


def _unclip(mark: Element, definitions: dict[str, Element]) -> None:
    """Drop a clipping box that cuts nothing off."""
    clip = mark.get("clip-path")
    points = [point for _, points in _pieces(mark.get("d", "")) for point in points]
    if mark.tag == "circle":
        points = [(float(mark.attrib["cx"]), float(mark.attrib["cy"]))]
    if clip and points:
        box = definitions[clip[5:-1]][0].attrib
        left, top, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
        right, bottom = left + width + 1, top + height + 1
        if all(left - 1 <= x <= right and top - 1 <= y <= bottom for x, y in points):
            del mark.attrib["clip-path"]


def _look(mark: Element) -> dict[str, str]:
    """What is the same of marks that differ in their places and shapes alone."""
    return {key: value for key, value in mark.attrib.items() if key not in _PLACE}


def _grouped(marks: list[Element]) -> Iterator[Element]:
    """Neighbours that look alike: lines as one path, others in a group that says how they look."""
    for look, members in groupby(marks, key=_look):
        alike = list(members)
        lines = all(mark.tag == "path" for mark in alike)
        if lines and not {"fill", "stroke-opacity"} & look.keys():  # which would show through
            shape = "".join(mark.attrib["d"] for mark in alike)
            alike = [Element("path", {"d": shape, **look})]
        elif len(alike) > 1:
            for mark in alike:
                mark.attrib = {key: mark.attrib[key] for key in mark.attrib if key in _PLACE}
            group = Element("g", look)
            group.extend(alike)
            alike = [group]
        yield from alike


def _shorten(element: Element, digits: int = 1) -> None:
    """Shorten an element's numbers: a tenth of a unit is a seventh of a pixel or less."""
    attributes = element.attrib
    for key in _NUMBERS & attributes.keys():
        attributes[key] = _short(float(attributes[key]), 2 if "-" in key else digits)
    if "stroke-dasharray" in attributes:
        lengths = attributes["stroke-dasharray"].split(",")
        attributes["stroke-dasharray"] = " ".join(_short(float(length)) for length in lengths)
    if turn := re.search(r"rotate\((-?[1-9]\S*) (\S+) (\S+)\)", attributes.pop("transform", "")):
        attributes["transform"] = f"rotate({' '.join(_short(float(n)) for n in turn.groups())})"
    if "d" in attributes:
        attributes["d"] = _relative(_pieces(attributes["d"]), digits)


def _short(number: float, digits: int = 1) -> str:
    """A number without what it does not need."""
    text = f"{number:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if digits else text
    text = re.sub(r"^(-?)0\.", r"\1.", text)
    return "0" if text in ("-0", "") else text


def _pieces(path: str) -> list[Piece]:
    """What a path says, command by command; matplotlib writes only absolute ones."""
    tokens = _TOKEN.findall(path)
    pieces: list[Piece] = []
    while tokens:
        command = tokens.pop(0).upper()
        count = 2 * _PAIRS[command]
        numbers, tokens = [float(token) for token in tokens[:count]], tokens[count:]
        pieces.append((command, list(zip(numbers[::2], numbers[1::2], strict=True))))
    return pieces


def _relative(pieces: list[Piece], digits: int) -> str:
    """The path in relative commands. Each point is rounded itself, so that no error adds up."""
    text, last, here, start = "", "", (0.0, 0.0), (0.0, 0.0)
    before = ""  # the number before, which a minus or a second point ends as well as a space
    for command, points in pieces:
        points = [(round(x, digits), round(y, digits)) for x, y in points]
        letter = command.lower()
        numbers = [number for x, y in points for number in (x - here[0], y - here[1])]
        here = points[-1] if points else start
        if command == "M":
            letter, start = letter if text else command, here
        elif command == "L" and abs(numbers[1]) < 0.001:
            letter, numbers = "h", numbers[:1]
        elif command == "L" and abs(numbers[0]) < 0.001:
            letter, numbers = "v", numbers[1:]
        if letter != last or letter not in "hlvqc":
            text, before = text + letter, ""
        for number in (_short(number, digits) for number in numbers):
            joins = not before or number[0] == "-" or (number[0] == "." and "." in before)
            text += number if joins else f" {number}"
            before = number
        last = letter
    return text


def _rename(root: Element, name: str) -> None:
    """Number the ids that something refers to, under the figure's name; drop the others.

    Matplotlib's own ids are random, or the same in each figure that has the same marker.
    """
    new: dict[str, str] = {}
    for element in root.iter():
        for key, value in element.attrib.items():
            for old in _REFERENCE.findall(value):
                number = new.setdefault(old, f"{name}-{len(new) + 1}")
                element.attrib[key] = value.replace(old, number)
    for child in list(root):
        if (old := child.attrib.pop("id", None)) and old in new:
            child.attrib = {"id": new[old], **child.attrib}
        elif old:
            root.remove(child)


def _theme(element: Element) -> None:
    """Colours as attributes, and as classes that the stylesheet knows."""
    classes = []
    for key, prefix in (("fill", "fill"), ("stroke", "line")):
        if (colour := element.get(key)) in SENTINELS:
            word, alone = SENTINELS[colour]
            element.attrib[key] = alone
            classes.append(f"{prefix}-{word}")
    if classes:
        element.attrib["class"] = " ".join(classes)
