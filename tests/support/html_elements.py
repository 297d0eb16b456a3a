"""The elements of a page, as a browser's parser meets them."""

from __future__ import annotations

from html.parser import HTMLParser


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        """What the elements have for an attribute, in the order of the page."""
        return [str(attrs[attribute]) for _, attrs in self.tags if attribute in attrs]


class Text(HTMLParser):
    """What a page says, a line each element; drawings and what is embedded for download are left out.

    Attributes:
        lines: the texts; what is emphasized inside a sentence stays in its line.
    """

    INSIDE_A_LINE = ("a", "b", "i", "span")
    LEFT_OUT = ("svg", "style", "script")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._line: list[str] = []
        self._left_out = 0
        self.feed(text)
        self._end_line()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._left_out += tag in self.LEFT_OUT
        if tag not in self.INSIDE_A_LINE:
            self._end_line()

    def handle_endtag(self, tag: str) -> None:
        self._left_out -= tag in self.LEFT_OUT
        if tag not in self.INSIDE_A_LINE:
            self._end_line()

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self._line.append(data)

    def _end_line(self) -> None:
        if line := " ".join(" ".join(self._line).split()):
            self.lines.append(line)
        self._line.clear()
