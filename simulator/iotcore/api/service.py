"""The API without sockets: a request in, an answer out, or an answer that must wait.

Owns the order in which a request is looked at: who asks, what for, is the request as its shape
says, may the caller, do the quotas let it pass; then the operation itself. Total: any request has
an answer. Knows nothing about aiohttp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.iotcore.api.answering import write_failure
from simulator.iotcore.api.credentials import LABEL as CREDENTIALS_LABEL
from simulator.iotcore.api.credentials import CredentialsProvider
from simulator.iotcore.api.data_plane import Confirmation
from simulator.iotcore.api.device_access import check, needs_of
from simulator.iotcore.api.model import DATA, DEVICE_SERVICES, Models, services_signed_as
from simulator.iotcore.api.operations import Operations
from simulator.iotcore.api.rates import ASSUME_ROLE_CLAIMS
from simulator.iotcore.api.sigv4 import Keyring, read_signature
from simulator.iotcore.permissions.identity import SignedIdentity
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.api.counts import ApiCounters
    from simulator.iotcore.api.exchange import ApiRequest, ApiResponse
    from simulator.iotcore.api.model import Operation, Route
    from simulator.iotcore.api.operations import ReadObject
    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.cloud import Cloud
    from simulator.iotcore.permissions.identity import Principal

WHERE_LISTED: Final = "docs/iotcore-aws-api.md"
"""Where people find which operations are served."""

_SHOWN_CHARACTERS: Final = 200
"""Of a path that means nothing."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that waits for a client.

    Attributes:
        operation: What was asked.
        confirmation: What it waits for.
        trace_id: For the answer when it is not confirmed.
    """

    operation: Operation
    confirmation: Confirmation
    trace_id: str

    def confirmed(self) -> ApiResponse:
        """The answer once the client has acknowledged."""
        return self.operation.write(self.confirmation.result)

    def missed(self) -> ApiResponse:
        """The answer when it has not in time."""
        return self.operation.refuse(self.confirmation.missed(), self.trace_id)


class ApiService:
    """Serves requests of one account.

    Args:
        models: The service models.
        cloud: Registry and services.
        broker: Connections and messages.
        keyring: Access keys.
        limits: Sizes of a message.
        counters: Totals.
        unix_s_at_zero: Unix time when the broker's clock was 0.
        new_id: Makes ids.
        new_bytes: Makes that many random bytes, for temporary credentials.
        read_object: Gives the bytes of an object of a bucket, or None.
        identities: Access key id to the Cognito identity it was made for.
    """

    def __init__(
        self,
        models: Models,
        cloud: Cloud,
        broker: Broker,
        keyring: Keyring,
        limits: Limits,
        counters: ApiCounters,
        *,
        unix_s_at_zero: float,
        new_id: Callable[[], str],
        new_bytes: Callable[[int], bytes],
        read_object: ReadObject,
        identities: Mapping[str, str],
    ) -> None:
        self._models = models
        self._cloud = cloud
        self._broker = broker
        self._keyring = keyring
        self._counters = counters
        self._unix_s_at_zero = unix_s_at_zero
        self._new_id = new_id
        self._identities = identities
        self.operations = Operations(
            cloud,
            broker,
            limits,
            unix_s_at_zero=unix_s_at_zero,
            new_id=new_id,
            read_object=read_object,
        )
        self._credentials = CredentialsProvider(
            cloud.registry, cloud.account, self._role_alias, keyring, new_bytes
        )

    def serve(
        self, request: ApiRequest, now_s: float, machine_unix_s: float
    ) -> ApiResponse | Pending:
        """Answer a request.

        Args:
            request: The request.
            now_s: The broker's clock.
            machine_unix_s: Unix time as clients have it, which the broker's clock may be ahead of.
        """
        if request.certificate is not None and CredentialsProvider.claims(request):
            device = request.certificate.identifier
            if self._broker.admit(ASSUME_ROLE_CLAIMS, device, now_s):
                response = self._credentials.serve(request, now_s, self._unix_s_at_zero + now_s)
            else:
                response = write_failure(_throttled(), 429, CREDENTIALS_LABEL)
            return self._counted(response)
        try:
            caller, services = self._caller(request, now_s, machine_unix_s)
        except ServiceFailure as failure:
            return self._counted(write_failure(failure, failure.http_status))
        route = self._models.route(request.method, request.path, services)
        if route is None:
            return self._counted(write_failure(_unknown(request), 404))
        try:
            outcome = self._do(route, request, caller, now_s)
        except _NotServedError as failure:
            return self._counted(route.operation.refuse(failure, self._new_id()), is_served=False)
        except ServiceFailure as failure:
            return self._counted(route.operation.refuse(failure, self._new_id()))
        if isinstance(outcome, Pending):
            return outcome
        return self._counted(outcome)

    def settle(self, response: ApiResponse) -> ApiResponse:
        """Count the answer that became of one that waited."""
        return self._counted(response)

    def _caller(
        self, request: ApiRequest, now_s: float, machine_unix_s: float
    ) -> tuple[str | None, tuple[str, ...]]:
        """The access key that signed, None for a device with a certificate; where to look."""
        signature = read_signature(request)
        if signature is not None:
            unix_s = self._unix_s_at_zero + now_s
            signer = self._keyring.check(signature, request, unix_s, machine_unix_s)
            return signer.access_key_id, services_signed_as(signature.service)
        if request.certificate is not None:
            return None, DEVICE_SERVICES
        raise ServiceFailure(
            "MissingAuthenticationTokenException", "Missing Authentication Token", 403
        )

    def _do(
        self, route: Route, request: ApiRequest, access_key_id: str | None, now_s: float
    ) -> ApiResponse | Pending:
        operation = route.operation
        served = self.operations.find(operation.service, operation.name)
        if served is None:
            raise _NotServedError(operation)
        members = operation.read(route.path, request)
        certificate = request.certificate
        principal: Principal | None = certificate
        if access_key_id is not None:
            principal = self._signer(operation, access_key_id)
        if principal is not None:
            needs = needs_of(operation.name, members)
            cloud = self._cloud
            check(cloud.registry, cloud.account, principal, request.source_ip, needs)
        caller = access_key_id or (certificate.identifier if certificate is not None else "")
        claims = served.claims(members)
        if claims and not self._broker.admit(claims, caller, now_s):
            raise _throttled()
        try:
            outcome = served.handle(members, now_s)
        except ServiceFailure as failure:
            if failure.quota is not None:
                self._broker.counters.refuse(failure.quota, caller)
            raise
        if isinstance(outcome, Confirmation):
            return Pending(operation, outcome, self._new_id())
        result, answers = outcome
        self._publish(answers, now_s)
        return operation.write(result)

    def _signer(self, operation: Operation, access_key_id: str) -> Principal | None:
        """Who signed a request to `iot-data`, if IoT policies are attached to that identity."""
        identity = self._identities.get(access_key_id, access_key_id)
        if operation.service != DATA or not self._cloud.registry.policies_of(identity):
            return None
        return SignedIdentity(identity)

    def _publish(self, answers: Sequence[Answer], now_s: float) -> None:
        if answers:
            self._broker.answer(answers, now_s)

    def _role_alias(self, alias: str, now_s: float) -> dict[str, object] | None:
        served = self.operations.find("iot", "DescribeRoleAlias")
        if served is None:
            return None
        try:
            outcome = served.handle({"roleAlias": alias}, now_s)
        except ServiceFailure:
            return None
        if isinstance(outcome, Confirmation):
            return None
        description: dict[str, object] = outcome[0]["roleAliasDescription"]
        return description

    def _counted(self, response: ApiResponse, *, is_served: bool = True) -> ApiResponse:
        self._counters.count(response, is_served=is_served)
        return response


class _NotServedError(ServiceFailure):
    """AWS has the operation and this stand-in does not."""

    def __init__(self, operation: Operation) -> None:
        super().__init__(
            "NotImplementedException",
            f"{operation.name} of {operation.service} is not served by this stand-in; "
            f"{WHERE_LISTED} lists what is",
            501,
        )


def _throttled() -> ServiceFailure:
    return ServiceFailure("ThrottlingException", "Rate exceeded", 429)


def _unknown(request: ApiRequest) -> ServiceFailure:
    path = request.path[:_SHOWN_CHARACTERS]
    return ServiceFailure(
        "UnknownOperationException", f"No operation has {request.method} {path}", 404
    )
