"""HTML and SVG as nested calls; every text is escaped unless it is already markup."""

from collections.abc import Iterable
from html import escape

VOID = frozenset({"br", "circle", "col", "line", "link", "meta", "path", "polyline", "rect"})


class Markup(str):
    """Text that is already markup and goes into a page as it stands."""

    __slots__ = ()


Child = str | Iterable["Child"] | None
Attribute = str | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """One element; plain strings among the children are escaped.

    A trailing underscore of an attribute's name is dropped (`class_`), others become hyphens (`stroke_width`).
    None and False leave an attribute out, True writes its name as its value. An element in `VOID` without children
    closes itself, so the page is well-formed XML too.
    """
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    inner = join(*children)
    if not inner and name in VOID:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{inner}</{name}>")


def join(*children: Child) -> Markup:
    """Children one after another; None is nothing."""
    return Markup("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(_printable(child))
    return join(*child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f' {name}="{name}"'
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{escape(_printable(shown))}"'


def _printable(text: str) -> str:
    """Control characters and lone surrogates are not allowed in a page, whoever sent them."""
    return "".join(
        c if c in "\t\n" or (c >= " " and not "\x7f" <= c <= "\x9f" and _encodes(c)) else "\ufffd" for c in text
    )


def _encodes(character: str) -> bool:
    return not "\ud800" <= character <= "\udfff" and character not in "\ufffe\uffff"
