"""The status of a stand-in in the terms of Prometheus: which metrics there are, labels and bounds.

Owns the names `morai_core_*`, which follow the conventions of
https://prometheus.io/docs/practices/naming. Knows nothing about HTTP. Everything is read from the
observer at the time of the scrape.

Cardinality is bounded: no label names a client, since who was refused stands in the status; causes
and quotas are those of the code, and at most 512 operations of the API and 128 error codes are
named, the others counting as `other`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from simulator.iotcore.broker.counters import QUOTA_PREFIX, Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from simulator.iotcore.status.document import Status
    from simulator.quotas.table import QuotaTable

OPERATIONS_MAX: Final = 512
ERRORS_MAX: Final = 128
OTHER: Final = "other"
_PREFIX: Final = "morai_core_"
_TOTALS: Final = {
    "connects": ("connects", "CONNECTs that were accepted."),
    "disconnects": ("disconnects", "Connections that ended after CONNECT was accepted."),
    "publishes_in": ("publishes_received", "PUBLISH packets from clients."),
    "publishes_out": ("publishes_sent", "PUBLISH packets to clients."),
    "bytes_in": ("received_bytes", "Bytes of MQTT from clients."),
    "bytes_out": ("sent_bytes", "Bytes of MQTT to clients."),
    "subscribes": ("subscribes", "Filters that were granted."),
    "messages_queued": ("messages_queued", "Messages that had to wait for a client."),
    "tls_failed": ("tls_failures", "TLS handshakes that were not completed."),
    "http_requests": ("http_requests", "HTTP requests."),
}
_SERVICE_COUNTERS: Final = {
    "requests": "Requests over MQTT.",
    "throttled": "Requests over MQTT that a quota refused.",
}
_SERVICE_ITEMS: Final = {
    "shadows": ("shadows", "state_bytes"),
    "jobs": ("jobs", "executions"),
    "commands": ("commands", "executions", "executions_awaited"),
    "provisioning": ("templates", "certificates_waiting", "hooks_running"),
    "streams": ("streams",),
    "basic-ingest": ("rules",),
    "just-in-time": ("authorities",),
}
"""Figures of services that go up and down."""


def registry_of(status: Callable[[], Status], table: QuotaTable | None) -> CollectorRegistry:
    """A registry that reads the status whenever it is collected, and the figures of the process.

    Args:
        status: Gives the status of the moment.
        table: The quotas in force; None when they are off.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status, table))
    ProcessCollector(namespace="morai_core", registry=registry)
    return registry


class _StatusCollector(Collector):
    def __init__(self, status: Callable[[], Status], table: QuotaTable | None) -> None:
        self._status = status
        self._table = table

    def describe(self) -> Iterable[Metric]:
        """Nothing; keeps the registry from collecting on start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics of the moment."""
        status = self._status()
        yield from _of_stand_in(status)
        for name, (metric, meaning) in _TOTALS.items():
            family = CounterMetricFamily(f"{_PREFIX}{metric}", meaning)
            family.add_metric([], status.totals[name])
            yield family
        yield _of_causes(status.causes)
        if self._table is not None:
            yield _of_limits(self._table)
        yield from _of_services(status.services)
        if status.api is not None:
            yield from _of_api(status.api)


def _of_stand_in(status: Status) -> Iterator[Metric]:
    about = InfoMetricFamily("morai_core", "What is running.")
    facts = {"version": status.version, "region": status.region, "account": status.account}
    about.add_metric([], {**facts, "quotas": status.quotas.table, "mode": status.quotas.mode})
    yield about
    yield _gauge("uptime_seconds", "How long it listens.", status.uptime_s)
    yield _gauge("clock_ahead_seconds", "How far its clock was moved.", status.clock.ahead_s)
    yield _gauge("connections", "Open connections that speak MQTT.", status.connections)
    http = "Open connections that speak HTTP."
    yield _gauge("http_connections", http, status.http_connections)
    yield _gauge("tls_pending", "TLS handshakes under way.", status.tls_pending)
    yield _gauge("sessions", "Sessions, online and stored.", status.sessions)
    retained = "Topics with a retained message."
    yield _gauge("retained_messages", retained, status.retained_messages)
    registered = GaugeMetricFamily(
        f"{_PREFIX}registered", "What the registry holds.", labels=["kind"]
    )
    for kind, number in status.registered.items():
        registered.add_metric([kind], number)
    yield registered


def _of_causes(causes: Mapping[str, int]) -> Metric:
    """Every cause there is: one that is absent until it happens cannot be alerted on."""
    family = CounterMetricFamily(
        f"{_PREFIX}refused",
        "What was refused, dropped or ended, by cause; quota is the quota that was broken.",
        labels=["cause", "quota"],
    )
    for cause in Cause:
        quota = cause.quota or ""
        name = QUOTA_PREFIX.rstrip(":") if quota else cause.value
        family.add_metric([name, quota], causes.get(cause.value, 0))
    return family


def _of_limits(table: QuotaTable) -> Metric:
    family = GaugeMetricFamily(
        f"{_PREFIX}quota_limit", "Limits in force.", labels=["quota", "unit"]
    )
    for quota in table.quotas.values():
        family.add_metric([quota.id, quota.unit], quota.limit)
    return family


def _of_services(services: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    if not services:
        return
    for key, meaning in _SERVICE_COUNTERS.items():
        family = CounterMetricFamily(f"{_PREFIX}service_{key}", meaning, labels=["service"])
        for service, figures in services.items():
            if key in figures:
                family.add_metric([service], figures[key])
        yield family
    items = GaugeMetricFamily(
        f"{_PREFIX}service_items", "What services hold.", labels=["service", "kind"]
    )
    for service, kinds in _SERVICE_ITEMS.items():
        for kind in kinds:
            if kind in services.get(service, {}):
                items.add_metric([service, kind], services[service][kind])
    yield items


def _of_api(api: Mapping[str, Any]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        f"{_PREFIX}api_requests", "Requests of the AWS API.", labels=["operation"]
    )
    for operation, count in _bounded(api["operations"], OPERATIONS_MAX).items():
        requests.add_metric([operation], count)
    yield requests
    errors = CounterMetricFamily(
        f"{_PREFIX}api_errors", "Requests of the AWS API that were refused.", labels=["code"]
    )
    for code, count in _bounded(api["errors"], ERRORS_MAX).items():
        errors.add_metric([code], count)
    yield errors


def _bounded(counts: Mapping[str, int], most: int) -> dict[str, int]:
    names = list(counts)
    kept = {name: counts[name] for name in names[:most]}
    rest = sum(counts[name] for name in names[most:])
    return {**kept, OTHER: rest} if rest else kept


def _gauge(name: str, meaning: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}{name}", meaning)
    family.add_metric([], value)
    return family
