"""How a service says no: the error an AWS API call gets.

The codes are those of the service models that AWS publishes with its SDKs; a service that answers
on a topic translates them into the form of that topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.iotcore.broker.counters import Cause


class ServiceFailure(Exception):  # noqa: N818 - not an error of ours: the answer to a request
    """A request that is refused.

    Args:
        code: Name of the exception in the AWS service model, such as `ResourceNotFoundException`.
        message: What is wrong, as AWS words it where that is known.
        http_status: Status of the HTTP answer.
        quota: The quota that refuses it, if one does; who answers counts it.
    """

    def __init__(
        self, code: str, message: str, http_status: int = 400, *, quota: Cause | None = None
    ) -> None:
        super().__init__(message)
        self.quota = quota
        self.code = code
        self.message = message
        self.http_status = http_status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
