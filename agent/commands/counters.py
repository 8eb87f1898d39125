"""What happened to requests and set points, in numbers.

Owns the names and meanings of the counts; who counts is elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class CommandCounters:
    """What happened to requests and set points since the agent started.

    Attributes:
        requests: Requests that arrived.
        started: Commands handed to the car's control, by name; it may still refuse them.
        refused: Requests refused, by reason code.
        finished: Executions that were written down and ended, by status.
        replayed: Redelivered requests answered from the ledger.
        repeated_in_flight: Redelivered requests whose execution was still running.
        bad_execution_ids: Requests nobody could be answered for.
        id_reused: Requests that came with the id of a different request.
        storage_failures: Writes to the ledger that failed.
        set_points: Set points acted on.
        set_points_dropped: Set points not acted on, by cause.
        set_points_clamped: Set points brought inside the limits.
    """

    requests: int = 0
    started: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    replayed: int = 0
    repeated_in_flight: int = 0
    bad_execution_ids: int = 0
    id_reused: int = 0
    storage_failures: int = 0
    set_points: int = 0
    set_points_dropped: dict[str, int] = field(default_factory=dict)
    set_points_clamped: int = 0
