"""One HTTP request and one HTTP answer, as plain values. Knows nothing about AWS or sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.iotcore.permissions.identity import ClientCertificate

QUERY_FIELDS_MAX: Final = 200
"""Parameters of one query. No operation has more than twenty; tag keys and filters repeat."""


class TargetError(ValueError):
    """A path or query is not percent-encoded UTF-8, or has too many parameters."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request.

    Attributes:
        method: Upper case.
        target: Path and query as they were sent, percent-encoded.
        headers: By lower-case name; of several with one name, joined with commas.
        body: All of it.
        source_ip: Who sent it.
        certificate: The client certificate of the TLS connection, if there is one.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    source_ip: str = ""
    certificate: ClientCertificate | None = None

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return self.target.partition("?")[0]

    def query(self) -> list[tuple[str, str]]:
        """The parameters, decoded.

        Raises:
            TargetError: They cannot be.
        """
        try:
            return parse_qsl(
                self.target.partition("?")[2],
                keep_blank_values=True,
                errors="strict",
                max_num_fields=QUERY_FIELDS_MAX,
            )
        except ValueError as error:
            raise TargetError("the query string cannot be read") from error


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An answer.

    Attributes:
        status: HTTP status.
        headers: Besides those of HTTP itself.
        body: All of it.
        operation: What was asked, `<service>.<Operation>`, for counting; empty when unknown.
        error: Code of the error, empty on success.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    operation: str = ""
    error: str = ""
