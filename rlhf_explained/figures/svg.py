"""From a drawing to an inline SVG that follows the page's theme and shares the page with others."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.figure import Figure

from rlhf_explained.figures.style import SETTINGS, VARIABLES, WIDTH

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DROPPED_STYLES = (
    "font-family",
    "stroke-dashoffset: 0",
    "stroke-linecap: butt",
    "stroke-linejoin",
)


def to_svg(figure: Figure, name: str) -> str:
    """The drawing as an inline SVG: the same bytes each time, colours as CSS variables.

    Ids start with the figure's name, so that several figures share a page without clashing.
    """
    written = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.style.context(["default", SETTINGS]):
        figure.savefig(written, format="svg", metadata=nothing)
    for prefix, space in (("", _SVG), ("xlink", _XLINK)):
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(written.getvalue())
    _compact(root)
    _rename(root, name)
    height = round(figure.get_figheight() * 72)
    root.attrib.clear()
    root.attrib |= {
        "viewBox": f"0 0 {WIDTH:.0f} {height}",
        "style": "width:100%;max-width:28em;height:auto;"
        "font-family:var(--md-text-font-family,system-ui,sans-serif)",
        "stroke-linejoin": "round",
    }
    text = ElementTree.tostring(root, encoding="unicode")
    for sentinel, variable in VARIABLES.items():
        text = text.replace(sentinel, variable)
    return text


def _short(number: re.Match[str]) -> str:
    """Two decimals are a hundredth of a pixel or so."""
    text = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _compact(element: ElementTree.Element) -> None:
    """Drop what a browser does not need: stylesheet, empty groups, long numbers, own font."""
    for child in list(element):
        _compact(child)
        kind = child.tag.removeprefix(f"{{{_SVG}}}")
        place = list(element).index(child)
        if kind in ("style", "metadata") or (kind in ("g", "defs") and not len(child)):
            element.remove(child)
        elif kind == "g" and not set(child.attrib) - {"id"}:
            element.remove(child)
            for grandchild in reversed(list(child)):
                element.insert(place, grandchild)
    for key, value in list(element.attrib.items()):
        value = _NUMBER.sub(_short, value)
        if key == f"{{{_XLINK}}}href":
            del element.attrib[key]
            key = "href"
        elif key == "d":
            value = re.sub(r"\s*([A-Za-z])\s*", r"\1", value.strip())
        elif key == "style":
            parts = (part.strip() for part in value.split(";"))
            kept = [part for part in parts if part and not part.startswith(_DROPPED_STYLES)]
            value = ";".join(part.replace(": ", ":") for part in kept)
        elif key == "transform":
            value = re.sub(r"\s*rotate\(-?0 [^)]*\)", "", value).strip()
        if value or key not in ("style", "transform"):
            element.attrib[key] = value
        else:
            del element.attrib[key]
    element.text = element.text if element.tag == f"{{{_SVG}}}text" else None
    element.tail = None


def _rename(root: ElementTree.Element, name: str) -> None:
    """Number the ids that something refers to, under the figure's name; drop the others.

    Matplotlib's own ids are random, or the same in each figure that has the same marker.
    """
    used: dict[str, str] = {}
    for element in root.iter():
        for key, value in element.attrib.items():
            for old in _REFERENCE.findall(value) + ([value[1:]] if key == "href" else []):
                used.setdefault(old, f"{name}-{len(used) + 1}")
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in used:
                    element.attrib["id"] = used[value]
                else:
                    del element.attrib["id"]
            elif key == "href":
                element.attrib["href"] = f"#{used[value[1:]]}"
            else:
                element.attrib[key] = _REFERENCE.sub(lambda m: f"url(#{used[m[1]]})", value)
