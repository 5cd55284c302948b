"""Drawings made fit to stand inside a page: nothing that runs, loads or clashes, and ink that follows the page's colours."""

import re
from pathlib import Path
from xml.etree import ElementTree

from seal.errors import InputError
from seal.report.wording import visible

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"

_ELEMENTS = frozenset(
    (
        *("svg", "g", "defs", "path", "line", "rect", "circle", "ellipse", "polyline", "polygon", "text", "tspan", "use", "clipPath"),
        *("linearGradient", "radialGradient", "stop", "symbol"),
    )
)
_SHAPE = (
    "d x y x1 y1 x2 y2 cx cy r rx ry dx dy width height viewBox points transform offset preserveAspectRatio gradientUnits gradientTransform"
)
_PAINT = (
    "fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin "
    "stroke-miterlimit opacity display visibility clip-path clip-rule clipPathUnits stop-color stop-opacity"
)
_TEXT = "text-anchor font-size font-weight font-style dominant-baseline"
_ATTRIBUTES = frozenset(f"id {_SHAPE} {_PAINT} {_TEXT}".split())
"""No style, which a page that allows no inline style would drop; no font family: the page's own is taken; no event, no class."""

_INK = frozenset({"#000", "#000000", "black", "#262626", "#333", "#333333"})
_PAPER = frozenset({"#fff", "#ffffff", "white"})
_FUNCTIONS = {"matrix", "rotate", "scale", "skewx", "skewy", "translate", "rgb", "rgba"}
_LOCAL = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")


def read(path: str | Path) -> str:
    """Read a drawing.

    Raises
    ------
    InputError
        If there is none, or it is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that draws it, or `dvc repro`") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a drawing in UTF-8 ({error}); run the stage that draws it, or `dvc repro`") from None


def inline(text: str, prefix: str, label: str, source: str) -> str:
    """A drawing as it can stand inside a page.

    Parameters
    ----------
    text
        The drawing, SVG as vl-convert or matplotlib write it.
    prefix
        Goes before each of its ids, so that two drawings of a page never share one.
    label
        What it shows, for those who cannot see it.
    source
        Where it is from, to be named in an error.

    Returns
    -------
    SVG without scripts, styles, events, links to elsewhere and metadata. Black becomes `currentColor`, and white none.

    Raises
    ------
    InputError
        If it is not SVG.
    """
    try:
        # expat itself refuses entities that grow without bound
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise InputError(f"{source}: not a drawing ({error}); run the stage that draws it") from None
    if root.tag != f"{{{_SVG}}}svg":
        raise InputError(f"{source}: found the element {root.tag[:60]}, expected svg; run the stage that draws it")
    kept = _kept(root, prefix)
    kept.attrib.setdefault("viewBox", f"0 0 {_length(root.get('width'))} {_length(root.get('height'))}")
    kept.attrib |= {"role": "img", "aria-label": label}
    kept.attrib.setdefault("fill", "currentColor")
    return ElementTree.tostring(kept, encoding="unicode")


def _kept(element: ElementTree.Element, prefix: str) -> ElementTree.Element:
    """An element with what is allowed of it, and of what it holds."""
    made = ElementTree.Element(_local(element.tag), _attributes(element, prefix))
    words = made.tag in ("text", "tspan")
    if words:
        made.text = visible(element.text or "")
    for child in element:
        if isinstance(child.tag, str) and child.tag.startswith(f"{{{_SVG}}}") and _local(child.tag) in _ELEMENTS:
            below = _kept(child, prefix)
            if words:
                below.tail = visible(child.tail or "")
            if _shows(below):
                made.append(below)
    return made


def _shows(element: ElementTree.Element) -> bool:
    if element.get("display") == "none" or (element.tag == "path" and "d" not in element.attrib):
        return False
    return len(element) > 0 or element.tag not in ("g", "defs")


def _attributes(element: ElementTree.Element, prefix: str) -> dict[str, str]:
    given = {_local(name): value for name, value in element.attrib.items() if not name.startswith("{")}
    for declaration in given.pop("style", "").split(";"):
        name, _, value = declaration.partition(":")
        given[name.strip()] = value.strip()
    target = given.pop("href", None) or element.get(f"{{{_XLINK}}}href")
    made = {}
    for name, value in given.items():
        if name in _ATTRIBUTES and value and not _leads_elsewhere(value):
            made[name] = _LOCAL.sub(lambda found: f"url(#{prefix}{found[1]})", _ink(name, value))
    if "id" in made:
        made["id"] = prefix + made["id"]
    if target and target.startswith("#") and _local(element.tag) == "use":
        made["href"] = f"#{prefix}{target[1:]}"
    return made


def _leads_elsewhere(value: str) -> bool:
    """Whether a value may load something: by a function that is not known to be harmless, however it is written."""
    called = {name.lower() for name in re.findall(r"([^\s,;:()]*)\s*\(", value)}
    return "\\" in value or not called <= _FUNCTIONS | ({"url"} if _LOCAL.fullmatch(value.strip()) else set())


def _ink(name: str, value: str) -> str:
    if name not in ("fill", "stroke", "stop-color"):
        return value
    return "currentColor" if value.lower() in _INK else "none" if value.lower() in _PAPER else value


def _length(value: str | None) -> str:
    """A length without its unit: a drawing is as large as its page lets it be."""
    found = re.match(r"[\d.]+", value or "")
    return found[0] if found else "100"


def _local(name: str) -> str:
    return name.rpartition("}")[2]
