"""From a drawing to an inline SVG that follows the page's theme and shares the page with others."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib.style
from matplotlib.figure import Figure

from rlhf_explained.figures.compact import grouped, merged, placed, short, shorter
from rlhf_explained.figures.style import SENTINELS, SETTINGS, WIDTH

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# What a browser takes for granted anyway, or what the root says for all.
_DEFAULTS = {
    ("stroke-dashoffset", "0"),
    ("stroke-linecap", "butt"),
    ("text-anchor", "start"),
    ("font-weight", "400"),
}
_FOR_ALL = {"fill": "none", "font-size": "11", "stroke-linejoin": "round"}
FONT = "system-ui, sans-serif"  # of a drawing that stands alone; a page sets its own


def to_svg(figure: Figure, name: str) -> str:
    """The drawing as an inline SVG, the same bytes each time.

    Ids start with the figure's name, so that several figures share a page without clashing. Colours
    are attributes for a reader who has the drawing alone, and classes that the site's stylesheet
    gives the colours of the theme.
    """
    written = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.style.context(["default", SETTINGS]):
        figure.savefig(written, format="svg", metadata=nothing)
    root = ElementTree.fromstring(written.getvalue())
    definitions = {one.attrib["id"]: one for one in _definitions(root)}
    boxes = {key: next(iter(one)) for key, one in definitions.items() if one.tag == "clipPath"}
    markers = {key: one.attrib.get("d", "") for key, one in definitions.items()}
    marks = [
        placed(mark, markers[mark.attrib["href"][1:]]) if mark.tag == "use" else mark
        for mark in _marks(root, {})
    ]
    marks = [mark for mark in marks if not _is_invisible(mark)]
    for mark in marks:
        shorter(mark, boxes)
    marks.sort(key=_kind)
    marks = merged(marks)

    height = round(figure.get_figheight() * 72)
    scale = 4 / 3  # points to pixels
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg"})
    svg.attrib |= {"viewBox": f"0 0 {WIDTH:.0f} {height}", "font-family": FONT, **_FOR_ALL}
    svg.attrib |= {"width": short(WIDTH * scale), "height": short(height * scale)}
    svg.extend([*definitions.values(), *grouped(marks, _FOR_ALL)])
    _rename(svg, name)
    for element in svg.iter():
        _theme(element)
    return ElementTree.tostring(svg, encoding="unicode").replace(" />", "/>")


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
                setting = setting.removesuffix("px")
                if key not in ("font-family", "stroke-linejoin"):
                    plain.attrib[key] = setting
        else:
            plain.attrib[key] = value
    for key, value in list(plain.attrib.items()):
        if (key, value) in _DEFAULTS:
            del plain.attrib[key]
    return plain


def _marks(element: Element, given: dict[str, str]) -> Iterator[Element]:
    """All that is painted, in order, without groups: what a group says, its members say."""
    for child in element:
        mark = _plain(child)
        if mark.tag == "g":
            mark.attrib.pop("id", None)
            yield from _marks(child, given | mark.attrib)
        elif mark.tag in ("path", "use", "text", "rect"):
            mark.attrib = given | mark.attrib
            mark.attrib.pop("id", None)
            yield mark


def _definitions(root: Element) -> Iterator[Element]:
    """What other elements refer to: markers, hatches, boxes to cut at."""
    for definitions in root.iter(f"{_SVG}defs"):
        for child in definitions:
            if child.tag == f"{_SVG}style":
                continue
            definition = _plain(child)
            definition.extend(_plain(part) for part in child)
            if definition.tag != "path":  # not a marker
                for part in definition.iter():
                    shorter(part, {}, digits=2)
            yield definition


def _is_invisible(mark: Element) -> bool:
    unseen = mark.get("fill", "none") == "none" and mark.get("stroke", "none") == "none"
    return unseen or (mark.tag == "text" and not (mark.text or "").strip())


def _kind(mark: Element) -> tuple[str, ...]:
    """Text stands on top of everything, beside other text of its kind; marks keep their order."""
    if mark.tag != "text":
        return ()
    said = ("fill", "font-size", "font-weight", "font-style", "text-anchor")
    return ("text", *(mark.get(key, "") for key in said))


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
    for parent in list(root.iter()):
        for child in list(parent):
            if (old := child.attrib.pop("id", None)) and old in new:
                child.attrib = {"id": new[old], **child.attrib}
            elif old:
                parent.remove(child)


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
