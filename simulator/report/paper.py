"""Prints reports so that they fit a terminal, and are whole in a file or pipe.

Owns that difference. Knows nothing about what is printed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

_UNBOUNDED_WIDTH: Final = 10_000


class Paper:
    """Prints to a terminal as wide as it is, and to anything else in lines of any length.

    Args:
        console: Where to.

    Attributes:
        width: How wide a line can be.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.width = console.width if console.is_terminal else _UNBOUNDED_WIDTH

    def line(self, text: Text | str = "") -> None:
        """Print a paragraph."""
        self._console.print(
            text, soft_wrap=not self._console.is_terminal, markup=False, highlight=False
        )

    def table(self, content: RenderableType) -> None:
        """Print a table."""
        if self._console.is_terminal:
            self._console.print(content)
            return
        lines = io.StringIO()
        Console(file=lines, width=_UNBOUNDED_WIDTH, no_color=True, force_terminal=False).print(
            content
        )
        # Cells are padded to their column; in a file that is only noise.
        text = "".join(line.rstrip() + "\n" for line in lines.getvalue().splitlines())
        self._console.print(text, end="", soft_wrap=True, markup=False, highlight=False)

    def section(self, title: str, content: RenderableType | None) -> None:
        """Print a table under its title; nothing when there is none."""
        if content is None:
            return
        self.line()
        self.line(Text(title, "bold"))
        self.table(content)
