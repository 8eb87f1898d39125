"""Joins the GPS sentences of one instant into one fix.

MORAI sends RMC and GGA of the same instant usually in two datagrams, in an order nobody documents,
and some set-ups send only one of them. This module owns the pairing. It must not know time-outs or
clocks: what belongs together is told by the time of day written in the sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.morai import Gga, Rmc
from agent.vehicle.morai_view import join_sentences

if TYPE_CHECKING:
    from agent.morai import GpsSentences
    from agent.vehicle.state import GnssFix

__all__ = ["GnssAssembler"]

# After this many sentences in a row without a partner, the receiver is taken for one that sends a
# single kind, and its sentences are not held back any longer.
_SOLITARY_AFTER: Final = 2


class GnssAssembler:
    """Pairs RMC and GGA by their time of day.

    The first sentence of an instant is held until its partner comes or another instant begins, so
    a fix is at most one interval of the receiver late. Where only one kind of sentence comes,
    nothing is held back after the first few. Holds one sentence.
    """

    __slots__ = ("_alone", "_held", "_kind")

    def __init__(self) -> None:
        self._held: Rmc | Gga | None = None
        self._kind: type[Rmc | Gga] | None = None
        self._alone = 0

    def feed(self, message: GpsSentences) -> list[GnssFix | None]:
        """Take the sentences of one datagram in.

        Returns:
            One item an instant that became complete: the fix, or `None` where the receiver says
            it has none.
        """
        fixes: list[GnssFix | None] = []
        for sentence in message.sentences:
            if isinstance(sentence, Rmc | Gga):
                self._feed(sentence, fixes)
        return fixes

    def _feed(self, sentence: Rmc | Gga, fixes: list[GnssFix | None]) -> None:
        held, self._held = self._held, None
        if type(sentence) is not self._kind:
            self._kind = type(sentence)
            self._alone = 0
            if held is not None and held.utc == sentence.utc:
                fixes.append(_joined(held, sentence))
                return
        if held is not None:
            fixes.append(_joined(held))
            self._alone += 1
        if self._alone < _SOLITARY_AFTER:
            self._held = sentence
        else:
            fixes.append(_joined(sentence))


def _joined(*sentences: Rmc | Gga) -> GnssFix | None:
    rmc = next((item for item in sentences if isinstance(item, Rmc)), None)
    gga = next((item for item in sentences if isinstance(item, Gga)), None)
    return join_sentences(rmc, gga)
