"""Matching of policy wildcards: `*` for any run of characters, `?` for exactly one.

A pattern is compiled once to the literal chunks between its `*`. Matching is leftmost-greedy over
those chunks, which is exact for this language and has no exponential case. Knows nothing about
ARNs or policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wildcard:
    """A compiled pattern.

    Args:
        parts: Pieces of the pattern in order. Each is (text, literal): in a literal piece `*` and
            `?` stand for themselves, which is how a substituted policy variable stays harmless.
    """

    __slots__ = ("_chunks", "_length_min")

    def __init__(self, parts: Iterable[tuple[str, bool]]) -> None:
        chunks: list[list[str | None]] = [[]]
        for text, literal in parts:
            if literal:
                chunks[-1].append(text)
                continue
            for character in text:
                if character == "*":
                    chunks.append([])
                else:
                    chunks[-1].append(None if character == "?" else character)
        self._chunks = tuple(_Chunk(chunk) for chunk in chunks)
        self._length_min = sum(chunk.length for chunk in self._chunks)

    @classmethod
    def parse(cls, pattern: str) -> Wildcard:
        """Compile a pattern without literal pieces."""
        return cls([(pattern, False)])

    @property
    def prefix(self) -> str | None:
        """The text before a single `*` at the end; None for patterns of any other form.

        Such a pattern matches exactly what starts with the text.
        """
        if len(self._chunks) != 2 or self._chunks[1].length:  # noqa: PLR2004 - around one star
            return None
        return self._chunks[0].literal

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        chunks = self._chunks
        first = chunks[0]
        if len(chunks) == 1:
            return len(text) == first.length and first.at(text, 0)
        if len(text) < self._length_min or not first.at(text, 0):
            return False
        position = first.length
        for chunk in chunks[1:-1]:
            found = chunk.find(text, position)
            if found < 0:
                return False
            position = found + chunk.length
        last = chunks[-1]
        start = len(text) - last.length
        return start >= position and last.at(text, start)


class _Chunk:
    """Literal text of known length in which some positions may hold any character."""

    __slots__ = ("_pieces", "length")

    def __init__(self, tokens: Iterable[str | None]) -> None:
        pieces: list[tuple[int, str]] = []
        length = 0
        for token in tokens:
            if token is None:
                length += 1
                continue
            if pieces and pieces[-1][0] + len(pieces[-1][1]) == length:
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + token)
            else:
                pieces.append((length, token))
            length += len(token)
        self._pieces = tuple(pieces)
        self.length = length

    @property
    def literal(self) -> str | None:
        """The whole text, unless a position may hold any character."""
        if not self._pieces:
            return None if self.length else ""
        offset, text = self._pieces[0]
        return text if offset == 0 and len(text) == self.length else None

    def at(self, text: str, start: int) -> bool:
        if start + self.length > len(text):
            return False
        return all(text.startswith(piece, start + offset) for offset, piece in self._pieces)

    def find(self, text: str, start: int) -> int:
        if not self._pieces:
            return start if start + self.length <= len(text) else -1
        offset, anchor = self._pieces[0]
        position = start
        while (found := text.find(anchor, position + offset)) >= 0:
            position = found - offset
            if self.at(text, position):
                return position
            position += 1
        return -1
