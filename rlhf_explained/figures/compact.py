"""The same drawing in fewer bytes: short paths, and groups that say once what many marks share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

_TOKEN = re.compile(r"[A-Za-z]|-?[\d.]+(?:e-?\d+)?")
_PAIRS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}  # points that a command of a path takes
_TEXT = {"font-size", "font-weight", "font-style", "text-anchor"}
_STROKE = {"stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-opacity"}
_SHARED = ("clip-path", "fill", "fill-opacity", "stroke", *sorted(_STROKE), *sorted(_TEXT))

Piece = tuple[str, list[tuple[float, float]]]  # a command of a path and its points


def short(number: float, digits: int = 1) -> str:
    """A number without what it does not need: a tenth of a unit is a seventh of a pixel or less."""
    text = f"{number:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    text = re.sub(r"^(-?)0\.", r"\1.", text)
    return "0" if text in ("-0", "") else text


def shorter(element: Element, boxes: Mapping[str, Element], digits: int = 1) -> None:
    """Shorten an element's numbers; drop a clipping box that cuts nothing off.

    Args:
        element: Changed in place.
        boxes: The rectangles of the clipping boxes by id.
        digits: Decimals that stay.
    """
    attributes = element.attrib
    for key in (
        "x",
        "y",
        "cx",
        "cy",
        "r",
        "width",
        "height",
        "stroke-width",
        "fill-opacity",
        "stroke-opacity",
    ):
        if key in attributes:
            exact = 2 if "-" in key else digits
            attributes[key] = short(float(attributes[key]), exact)
    if "stroke-dasharray" in attributes:
        lengths = attributes["stroke-dasharray"].split(",")
        attributes["stroke-dasharray"] = " ".join(short(float(length)) for length in lengths)
    if "transform" in attributes:
        turn = re.search(r"rotate\((-?[1-9]\S*) (\S+) (\S+)\)", attributes.pop("transform"))
        if turn:
            attributes["transform"] = f"rotate({' '.join(short(float(n)) for n in turn.groups())})"
    if "d" not in attributes and "clip-path" not in attributes:
        return
    pieces = _pieces(attributes["d"]) if "d" in attributes else []
    box = boxes.get(attributes.get("clip-path", "")[5:-1])
    points = [point for _, points in pieces for point in points]
    if element.tag == "circle":
        points = [(float(attributes["cx"]), float(attributes["cy"]))]
    if box is not None and points and _is_inside(points, box):
        del attributes["clip-path"]
    if pieces:
        attributes["d"] = _written(pieces, digits)


def placed(mark: Element, shape: str) -> Element:
    """A marker where it is used: in a drawing as small as ours no longer than the reference to it.

    Args:
        mark: The `<use>` of the marker.
        shape: The marker's path.

    Returns:
        A circle or a path.
    """
    x, y = float(mark.attrib.pop("x")), float(mark.attrib.pop("y"))
    del mark.attrib["href"]
    pieces = _pieces(shape)
    if [command for command, _ in pieces] == ["M", *"CCCCCCCC", "Z"]:  # matplotlib's circle
        mark.tag, radius = "circle", pieces[0][1][0][1]
        mark.attrib |= {"cx": str(x), "cy": str(y), "r": str(radius)}
        return mark
    mark.tag = "path"
    moved = ([(px + x, py + y) for px, py in points] for _, points in pieces)
    commands = (command for command, _ in pieces)
    mark.attrib["d"] = "".join(
        command + " ".join(f"{x} {y}" for x, y in points)
        for command, points in zip(commands, moved, strict=True)
    )
    if len(pieces) == 2:  # a line has no inside
        mark.attrib["fill"] = "none"
    return mark


def _is_inside(points: Sequence[tuple[float, float]], box: Element) -> bool:
    left, top, width, height = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
    return all(
        left - 1 <= x <= left + width + 1 and top - 1 <= y <= top + height + 1 for x, y in points
    )


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


def _written(pieces: Iterable[Piece], digits: int) -> str:
    """The path in relative commands. Each point is rounded itself, so that no error adds up."""
    steps: list[tuple[str, list[float]]] = []
    here = start = (0.0, 0.0)
    for command, points in pieces:
        points = [(round(x, digits), round(y, digits)) for x, y in points]
        if command == "Z":
            steps.append(("z", []))
            here = start
            continue
        letter, numbers = (
            command.lower(),
            [n for x, y in points for n in (x - here[0], y - here[1])],
        )
        last, before = steps[-1] if steps else ("", [])
        here = points[-1]
        if command == "M":
            start = here
            letter, numbers = ("m", numbers) if steps else ("M", list(here))
        elif command == "L" and not all(abs(number) > 0.001 for number in numbers):
            across, down = numbers
            letter, numbers = ("v", [down]) if abs(down) > 0.001 else ("h", [across])
            if abs(numbers[0]) < 0.001 and last not in ("M", "m"):
                continue  # a line to where it is; after a move it is a dot
            if letter == last and before[0] * numbers[0] > 0:
                before[0] += numbers[0]
                continue
        steps.append((letter, numbers))
    return _joined(steps, digits)


def _joined(steps: Iterable[tuple[str, list[float]]], digits: int) -> str:
    text, last = "", ""
    for letter, numbers in steps:
        text += "" if letter == last and letter in "hlvqc" else letter
        for number in numbers:
            written = short(number, digits)
            text += written if text[-1].isalpha() or written[0] == "-" else f" {written}"
        last = letter
    return text


def merged(marks: Iterable[Element]) -> list[Element]:
    """Paths one after the other that differ only in where they run, as one path."""
    result: list[Element] = []
    for mark in marks:
        before = result[-1] if result else None
        # paths that are filled, or that shine through each other, would look otherwise
        is_line = mark.tag == "path" and mark.get("fill") == "none" and not mark.get("transform")
        if is_line and before is not None and before.tag == "path" and mark.get("d"):
            rest = [{k: v for k, v in one.attrib.items() if k != "d"} for one in (before, mark)]
            if rest[0] == rest[1] and "stroke-opacity" not in rest[0]:
                before.attrib["d"] += mark.attrib["d"]
                continue
        result.append(mark)
    return result


def grouped(marks: Sequence[Element], given: Mapping[str, str]) -> list[Element]:
    """Put neighbours into groups that hold their common attributes, so that all is shortest.

    Args:
        marks: Elements without children, in the order in which they are painted.
        given: What all of them inherit.

    Returns:
        Groups and single elements, in the same order.
    """
    for mark in marks:
        for key, value in given.items():
            if mark.get(key) == value and _matters(key, mark):
                del mark.attrib[key]
    # The best way to end before each mark: bytes saved, and where its last group starts.
    best: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(marks) + 1):
        choices = [(best[end - 1][0], end - 1)]
        backwards = marks[max(0, end - 80) : end][::-1]
        for start, saved in zip(range(end - 1, -1, -1), _saved(backwards), strict=False):
            choices.append((best[start][0] + saved, start))
        best.append(max(choices))
    result: list[Element] = []
    end = len(marks)
    while end:
        start = best[end][1]
        members = marks[start:end]
        if len(members) > 1:
            group = Element("g", _common(members))
            for member in members:
                for key in group.attrib:
                    member.attrib.pop(key, None)
            group.extend(members)
            members = [group]
        result = [*members, *result]
        end = start
    return result


def _matters(key: str, mark: Element) -> bool:
    """Whether an attribute changes the look of a mark."""
    if key in _TEXT:
        return mark.tag == "text"
    return mark.get("stroke", "none") != "none" if key in _STROKE else True


def _common(marks: Sequence[Element]) -> dict[str, str]:
    common = {}
    for key in _SHARED:
        values = {mark.get(key) for mark in marks if _matters(key, mark)}
        if len(values) == 1 and (value := values.pop()) is not None:
            common[key] = value
    return common


def _saved(marks: Sequence[Element]) -> Iterator[int]:
    """The bytes that a group of the first mark would save, of the first two, and so on."""
    values: dict[str, set[str | None]] = {key: set() for key in _SHARED}
    times = dict.fromkeys(_SHARED, 0)
    for mark in marks:
        for key in tuple(values):
            if _matters(key, mark):
                values[key].add(mark.get(key))
                if len(values[key]) > 1 or None in values[key]:
                    del values[key]
            times[key] += key in mark.attrib
        if not values:
            return
        saved = -len("<g></g>")
        for key, (value,) in ((key, value) for key, value in values.items() if value):
            assert value is not None
            colour = 12 if value.startswith("#") else 0  # its class is to come
            saved += (times[key] - 1) * (len(key) + len(value) + len(' =""') + colour)
        yield saved
