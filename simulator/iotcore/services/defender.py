"""AWS IoT Device Defender: reports of device-side metrics, accepted or rejected.

Serves `$aws/things/<thing>/defender/metrics/{json|cbor}`. Source: AWS IoT Device Defender developer
guide, "Device-side metrics" (structure, long and short names) and "Sending metrics from devices"
(one report in five minutes, registered things only). Nothing is evaluated: reports are counted.

The members of the answers are those the AWS device libraries read; the exact error codes are not
published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.formats import (
    CONTENT_TYPES,
    Format,
    PayloadError,
    format_of,
    read_object,
    write,
)
from simulator.iotcore.services.saved import restored
from simulator.iotcore.services.service import PromptService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.registry import Registry

INTERVAL_S: Final = 300.0
"""Least time between two reports of a device."""

THINGS_MAX: Final = 100_000
"""Things whose last report is remembered. Beyond, the one that reported longest ago goes."""

_LONG_NAMES: Final = {
    "hed": "header",
    "met": "metrics",
    "cmet": "custom_metrics",
    "rid": "report_id",
    "v": "version",
}
_VERSION: Final = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}")
_METRICS: Final = {
    "listening_tcp_ports": "tp",
    "listening_udp_ports": "up",
    "network_stats": "ns",
    "tcp_connections": "tc",
}
_NETWORK_STATS: Final = {
    "bytes_in": "bi",
    "bytes_out": "bo",
    "packets_in": "pi",
    "packets_out": "po",
}
_CUSTOM_KINDS: Final = {
    "number": (int, float),
    "number_list": (int, float),
    "string_list": (str,),
    "ip_list": (str,),
}


class _Refusal(Exception):  # noqa: N818 - not an error of ours: the answer to a report
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Defender(PromptService):
    """The service.

    Args:
        registry: Only things it knows may report.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
        interval_s: Least time between two reports of a device; 0 accepts any.

    Attributes:
        accepted: How many reports were accepted.
        rejected: How many reports were rejected, by error code.
    """

    def __init__(
        self, registry: Registry, *, unix_s_at_zero: float, interval_s: float = INTERVAL_S
    ) -> None:
        self.accepted = 0
        self.rejected: dict[str, int] = {}
        self._registry = registry
        self._unix_s_at_zero = unix_s_at_zero
        self._interval_s = interval_s
        # Longest ago first. Unix time, so that a restart does not forget the interval.
        self._reported_unix_s: dict[str, float] = {}

    def claims(self, topic: str, /) -> bool:
        """Whether the topic takes reports, in JSON or CBOR."""
        return _address(topic) is not None

    def handle(self, message: Message, client_id: str | None, now_s: float, /) -> Sequence[Answer]:
        """Take a report.

        Returns:
            The answer on `<topic>/accepted` or `<topic>/rejected`, to the reporter alone.
        """
        address = _address(message.topic)
        if address is None:
            return ()
        thing, payload_format = address
        unix_s = now_s + self._unix_s_at_zero
        document: dict[str, Any] = {"thingName": thing, "timestamp": round(unix_s * 1000)}
        try:
            report = _read(message.payload, payload_format)
            document["reportId"] = _report_id(report)
            _check_metrics(report)
            self._admit(thing, unix_s)
        except _Refusal as refusal:
            self.rejected[refusal.code] = self.rejected.get(refusal.code, 0) + 1
            verdict = "rejected"
            document["status"] = "REJECTED"
            document["statusDetails"] = {
                "ErrorCode": refusal.code,
                "ErrorMessage": refusal.message,
            }
        else:
            self.accepted += 1
            verdict = "accepted"
            document["status"] = "ACCEPTED"
        return [
            Answer(
                Message(
                    f"{message.topic}/{verdict}",
                    write(document, payload_format),
                    message.qos,
                    now_s,
                    content_type=CONTENT_TYPES[payload_format],
                ),
                client_id,
            )
        ]

    def _admit(self, thing: str, unix_s: float) -> None:
        if self._registry.thing(thing) is None:
            raise _Refusal("ResourceNotFound", "The device is not registered as a thing")
        last = self._reported_unix_s.get(thing)
        if last is not None and unix_s - last < self._interval_s:
            raise _Refusal("Throttled", f"A device may report once in {self._interval_s:g} seconds")
        self._reported_unix_s.pop(thing, None)
        self._reported_unix_s[thing] = unix_s
        if len(self._reported_unix_s) > THINGS_MAX:
            del self._reported_unix_s[next(iter(self._reported_unix_s))]

    def status(self) -> dict[str, Any]:
        """Reports."""
        return {"accepted": self.accepted, "rejected": dict(self.rejected)}

    def dump(self) -> dict[str, Any]:
        """Counts, and when each thing reported last."""
        return {
            "accepted": self.accepted,
            "rejected": dict(self.rejected),
            "reported": dict(self._reported_unix_s),
        }

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        saved = restored(document, _Saved, "device defender")
        self.accepted, self.rejected = saved.accepted, saved.rejected
        self._reported_unix_s = saved.reported


class _Saved(msgspec.Struct):
    accepted: int
    rejected: dict[str, int]
    reported: dict[str, float]


def _address(topic: str) -> tuple[str, Format] | None:
    match topic.split("/"):
        case ["$aws", "things", thing, "defender", "metrics", level]:
            payload_format = format_of(level)
            return (thing, payload_format) if payload_format else None
    return None


def _read(payload: bytes, payload_format: Format) -> dict[str, Any]:
    try:
        document = read_object(payload, payload_format)
    except PayloadError as error:
        raise _invalid(f"The report cannot be parsed: {error}") from error
    return _long(document)


def _long(block: dict[str, Any]) -> dict[str, Any]:
    """The members by their long names."""
    return {_LONG_NAMES.get(name, name): value for name, value in block.items()}


def _report_id(report: dict[str, Any]) -> int:
    header = report.get("header")
    if not isinstance(header, dict):
        raise _Refusal("MissingHeader", "The report has no header")
    header = _long(header)
    report_id, version = header.get("report_id"), header.get("version")
    if not isinstance(report_id, int) or isinstance(report_id, bool):
        raise _invalid("report_id must be an integer")
    if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
        raise _invalid("version must be <major>.<minor>")
    return report_id


def _check_metrics(report: dict[str, Any]) -> None:
    metrics, custom = report.get("metrics"), report.get("custom_metrics")
    if metrics is None and custom is None:
        raise _invalid("The report needs metrics or custom_metrics")
    for name, block in (("metrics", metrics), ("custom_metrics", custom)):
        if block is not None and not isinstance(block, dict):
            raise _invalid(f"{name} must be an object")
    for name, short in _METRICS.items():
        block = (metrics or {}).get(name, (metrics or {}).get(short))
        if block is not None and not isinstance(block, dict):
            raise _invalid(f"{name} must be an object")
        if name == "network_stats" and block:
            _check_network_stats(block)
    for name, values in (custom or {}).items():
        _check_custom(name, values)


def _check_network_stats(block: dict[str, Any]) -> None:
    for name, short in _NETWORK_STATS.items():
        value = block.get(name, block.get(short, 0))
        if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
            raise _invalid(f"{name} must be a number of at least 0")


def _check_custom(name: str, values: Any) -> None:
    entry = values[0] if isinstance(values, list) and len(values) == 1 else None
    if not isinstance(entry, dict) or len(entry) != 1:
        raise _invalid(f"custom metric {name[:128]} must be a list of one object")
    kind, value = next(iter(entry.items()))
    types = _CUSTOM_KINDS.get(kind)
    if types is None or (kind != "number" and not isinstance(value, list)):
        raise _invalid(f"custom metric {name[:128]} must be one of {', '.join(_CUSTOM_KINDS)}")
    for each in [value] if kind == "number" else value:
        if not isinstance(each, types) or isinstance(each, bool):
            raise _invalid(f"custom metric {name[:128]} has a value of another type")


def _invalid(message: str) -> _Refusal:
    return _Refusal("InvalidPayload", message)
