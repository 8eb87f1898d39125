from __future__ import annotations

from tests.fuzz.morai_codec import fuzz


def test_twenty_thousand_damaged_datagrams_are_read_or_refused() -> None:
    """A short run of the fuzzer finds nothing; longer ones are run by hand."""
    fuzz(20_000, seed=20_261_121)
