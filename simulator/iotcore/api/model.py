"""The services as botocore describes them: from a method and a path to an operation.

Owns the route table of `iot`, `iot-data` and `iot-jobs-data`, which share one port here and have
one host name each at AWS. Where their paths collide, the service that the signature names decides.
Shapes are resolved when an operation is first asked for, since most never are. Knows nothing about
what an operation does.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from simulator.iotcore.api.answering import write_failure, write_result
from simulator.iotcore.api.exchange import ApiRequest, ApiResponse, TargetError
from simulator.iotcore.api.reading import read_members
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONTROL: Final = "iot"
DATA: Final = "iot-data"
JOBS_DATA: Final = "iot-jobs-data"
SERVICES: Final = (DATA, JOBS_DATA, CONTROL)
"""Names of the services in botocore, in the order they are searched when nothing names one."""

DEVICE_SERVICES: Final = (DATA, JOBS_DATA)
"""What a device may ask with its certificate."""

# `iotdevicegateway` is what the AWS documentation has clients sign for on the data endpoint; SDKs
# sign `iotdata`, the name in the service model.
_SIGNED_AS: Final = {
    "iot": CONTROL,
    "iotdata": DATA,
    "iotdevicegateway": DATA,
    "iot-jobs-data": JOBS_DATA,
}

_INVALID_CODES: Final = ("InvalidRequestException", "ValidationException")
_PATH_CHARACTERS_MAX: Final = 8_192

# SDKs encode the slashes of a topic; people with curl do not, and the service takes it.
_ALSO_GREEDY: Final = {"/topics/{topic}": "/topics/{topic+}"}


class Operation:
    """One operation of one service.

    Args:
        service: Name of the service in botocore.
        model: The service in botocore.
        name: Name of the operation.

    Attributes:
        service: Name of the service in botocore.
        name: Name of the operation.
    """

    def __init__(self, service: str, model: Any, name: str) -> None:
        self.service = service
        self.name = name
        self._service_model = model

    @cached_property
    def _model(self) -> Any:
        return self._service_model.operation_model(self.name)

    @property
    def label(self) -> str:
        """`<service>.<Operation>`."""
        return f"{self.service}.{self.name}"

    @property
    def input_shape(self) -> Any:
        """Shape of the request, or None."""
        return self._model.input_shape

    @property
    def output_shape(self) -> Any:
        """Shape of the result, or None."""
        return self._model.output_shape

    @cached_property
    def invalid_code(self) -> str:
        """The error of this operation for a request that is not as its shape says."""
        declared = {shape.name for shape in self._model.error_shapes}
        return next((code for code in _INVALID_CODES if code in declared), _INVALID_CODES[0])

    def read(self, path: Mapping[str, str], request: ApiRequest) -> dict[str, Any]:
        """The members of a request, checked against the shape.

        Args:
            path: Values of the labels in the path.
            request: The request.

        Raises:
            ServiceFailure: The request is not as the shape says.
        """
        shape = self.input_shape
        if shape is None:
            return {}
        try:
            return read_members(shape, path, request, self.invalid_code)
        except TargetError as error:
            raise ServiceFailure(self.invalid_code, str(error)) from error

    def write(self, result: Mapping[str, Any]) -> ApiResponse:
        """The answer for a result; members that the shape does not have are left out."""
        status = int(self._model.http.get("responseCode") or 200)
        return write_result(self.output_shape, result, status, self.label)

    def refuse(self, failure: ServiceFailure, trace_id: str) -> ApiResponse:
        """The answer for a failure, with the HTTP status the model gives its code.

        Args:
            failure: What went wrong.
            trace_id: Stands in the answers of `iot-data`, as in those to HTTPS publishes.
        """
        traced = trace_id if self.service == DATA else None
        return write_failure(failure, self.status_of(failure), self.label, traced)

    def status_of(self, failure: ServiceFailure) -> int:
        """The HTTP status of a failure: the model's where it has the code."""
        # The same error has different statuses in different services: ThrottlingException is 400
        # in `iot` and 429 in the data planes.
        raw = self._service_model.shape_for
        if failure.code not in self._service_model.shape_names:
            return failure.http_status
        error = raw(failure.code).metadata.get("error") or {}
        return int(error.get("httpStatusCode") or failure.http_status)


class Route(NamedTuple):
    """An operation that a request asks for.

    Attributes:
        operation: Which.
        path: Values of the labels in its path, decoded.
    """

    operation: Operation
    path: dict[str, str]


class _Template:
    """The path of an operation, such as `/things/{thingName}/jobs/$next`."""

    __slots__ = ("_levels", "operation")

    def __init__(self, uri: str, operation: Operation) -> None:
        self._levels = tuple(_levels(uri.partition("?")[0]))
        self.operation = operation

    @property
    def is_greedy(self) -> bool:
        return self._levels[-1].endswith("+}")

    @property
    def length(self) -> int:
        return len(self._levels)

    @property
    def literals(self) -> int:
        """How many levels are fixed: among templates that match, the one with most is meant."""
        return sum(not level.startswith("{") for level in self._levels)

    def match(self, levels: list[str]) -> dict[str, str] | None:
        found: dict[str, str] = {}
        for position, level in enumerate(self._levels):
            if level.endswith("+}"):
                found[level[1:-2]] = "/".join(levels[position:])
            elif level.startswith("{"):
                found[level[1:-1]] = levels[position]
            elif level != levels[position]:
                return None
        return found if all(found.values()) else None


class Models:
    """The three services. Imports botocore and reads about 1 MB of JSON when it is made."""

    def __init__(self) -> None:
        # 0.2 s that a stand-in nobody calls over HTTP does not need.
        from botocore.loaders import Loader  # noqa: PLC0415 - see above
        from botocore.model import ServiceModel  # noqa: PLC0415 - see above

        loader = Loader()
        self._operations: dict[tuple[str, str], Operation] = {}
        self._templates: dict[tuple[str, str, int], list[_Template]] = {}
        self._greedy: dict[tuple[str, str], list[_Template]] = {}
        for service in SERVICES:
            description = loader.load_service_model(service, "service-2")
            model = ServiceModel(description, service)
            for name, operation in description["operations"].items():
                http = operation["http"]
                self._add(http["method"], http["requestUri"], Operation(service, model, name))
        for templates in self._templates.values():
            templates.sort(key=lambda template: -template.literals)

    def _add(self, method: str, uri: str, operation: Operation) -> None:
        self._operations[operation.service, operation.name] = operation
        template = _Template(_ALSO_GREEDY.get(uri, uri), operation)
        if template.is_greedy:
            self._greedy.setdefault((operation.service, method), []).append(template)
        key = (operation.service, method, template.length)
        self._templates.setdefault(key, []).append(template)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def operation(self, service: str, name: str) -> Operation:
        """An operation by name.

        Raises:
            KeyError: There is none.
        """
        return self._operations[service, name]

    def route(self, method: str, path: str, services: tuple[str, ...] = SERVICES) -> Route | None:
        """The operation a request asks for.

        Args:
            method: HTTP method.
            path: The path, percent-encoded, so that a slash inside a label is told from others.
            services: Where to look, the most likely first.

        Returns:
            None when no operation has this method and path.
        """
        if len(path) > _PATH_CHARACTERS_MAX:
            return None
        try:
            levels = [unquote(level, errors="strict") for level in _levels(path)]
        except UnicodeDecodeError:
            return None
        for service in services:
            for template in self._templates.get((service, method, len(levels)), ()):
                found = template.match(levels)
                if found is not None:
                    return Route(template.operation, found)
            for template in self._greedy.get((service, method), ()):
                if len(levels) > template.length:
                    found = template.match(levels)
                    if found is not None:
                        return Route(template.operation, found)
        return None


def services_signed_as(name: str | None) -> tuple[str, ...]:
    """Where to look for an operation, given the service that a signature names."""
    first = _SIGNED_AS.get(name or "")
    if first is None:
        return SERVICES
    return (first, *(service for service in SERVICES if service != first))


def _levels(path: str) -> list[str]:
    """Levels of a path without the empty ones at both ends."""
    return path.removeprefix("/").removesuffix("/").split("/")
