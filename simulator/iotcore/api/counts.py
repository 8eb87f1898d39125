"""How often each operation was asked for and each error given. Totals that only rise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.iotcore.api.exchange import ApiResponse


class ApiCounters:
    """What the API answered.

    Attributes:
        requests: All requests, also those for no operation.
        operations: Requests by `<service>.<Operation>`. Bounded by the service models.
        errors: Refused requests by error code. Bounded by the codes this package and the services
            use.
        not_served: Requests for operations that AWS has and this stand-in does not.
    """

    __slots__ = ("errors", "not_served", "operations", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.operations: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.not_served: dict[str, int] = {}

    def count(self, response: ApiResponse, *, is_served: bool = True) -> None:
        """Count an answer."""
        self.requests += 1
        operation, error = response.operation, response.error
        if operation:
            chosen = self.operations if is_served else self.not_served
            chosen[operation] = chosen.get(operation, 0) + 1
        if error:
            self.errors[error] = self.errors.get(error, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """All totals, for machines."""
        return {
            "requests": self.requests,
            "operations": dict(sorted(self.operations.items())),
            "errors": dict(sorted(self.errors.items())),
            "not_served": dict(sorted(self.not_served.items())),
        }
