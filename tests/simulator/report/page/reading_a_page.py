"""Reads an HTML page the way a browser would, as far as the tests of the report need it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "link", "br", "img", "input", "base", "hr"}


class ReadPage(HTMLParser):
    """The elements, attributes and texts of a page.

    Attributes:
        elements: Every start tag with its attributes, in order.
        scripts: Type and content of every script.
        styles: Content of every style element.
        text: All text outside of scripts and styles.
        open: Elements that were never closed, and end tags without a start.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[str, str]] = []
        self.styles: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag == "script":
            self.scripts.append((attributes.get("type", ""), ""))
        if tag == "style":
            self.styles.append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element of SVG that has no end."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.open.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        """Note text where it stands."""
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            kind, content = self.scripts[-1]
            self.scripts[-1] = (kind, content + data)
        elif inside == "style":
            self.styles[-1] += data
        else:
            self.text += data

    @property
    def figures(self) -> Any:
        """The data of the charts."""
        (data,) = [content for kind, content in self.scripts if kind == "application/json"]
        return json.loads(data)

    def values_of(self, attribute: str) -> list[str]:
        """Every value of an attribute."""
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]
