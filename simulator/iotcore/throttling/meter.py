"""What one client has used lately of the quotas that are counted for each connection.

A meter belongs to a session, so that messages for a client that is away count too, and so that the
path of every message finds it without looking it up.
"""

from __future__ import annotations

from simulator.iotcore.throttling.bucket import TokenBucket


class Meter:
    """The buckets of one client.

    Args:
        publishes_per_s: Publishes, in and out.
        bytes_per_s: Bytes, in and out.
        replays_per_s: Stored messages of its session.
        shared_replays_per_s: Stored messages of shared groups.
        burst_s: A bucket holds what its rate gives in this time, and one token at least.
    """

    __slots__ = ("publishes", "replays", "shared_replays", "throughput")

    def __init__(
        self,
        publishes_per_s: float,
        bytes_per_s: float,
        replays_per_s: float,
        shared_replays_per_s: float,
        burst_s: float,
    ) -> None:
        self.publishes = TokenBucket.of_rate(publishes_per_s, burst_s)
        self.throughput = TokenBucket(bytes_per_s, bytes_per_s * burst_s)
        self.replays = TokenBucket.of_rate(replays_per_s, burst_s)
        self.shared_replays = TokenBucket.of_rate(shared_replays_per_s, burst_s)
