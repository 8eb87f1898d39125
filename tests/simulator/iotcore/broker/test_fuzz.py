from __future__ import annotations

import pytest

from tests.fuzz.mqtt_broker import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_packets_never_stop_the_broker(seed: int) -> None:
    """A short run of the fuzzer; the long one is `python -m tests.fuzz.mqtt_broker`."""
    fuzz(15_000, seed)
