"""Checks: what must hold for a run to pass, in one line each.

    publish_ack_ms.p99 < 250
    end_to_end_ms.p99.9 <= 1s during storm of vans
    lost == 0
    connected_share >= 99.9 %
    quota_refusals == 0 of publishes-per-connection

Owns the grammar and the list of metrics. Pure; the values come from `simulator.report`.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator

if TYPE_CHECKING:
    from collections.abc import Callable

MetricKind = Literal["latency", "count", "share", "rate", "amount"]
Cut = Literal["group", "phase", "quota"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that a run gives.

    Attributes:
        name: As written in checks and reports.
        kind: `latency` has percentiles; the others are one number.
        meaning: One sentence.
        cuts: Whether it exists for one group, for one phase, for one quota.
    """

    name: str
    kind: MetricKind
    meaning: str
    cuts: frozenset[Cut] = frozenset({"group", "phase"})


_GROUP = frozenset[Cut]({"group"})
_QUOTA = frozenset[Cut]({"quota"})
_WHOLE = frozenset[Cut]()

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("connect_ms", "latency", "TCP connect to CONNACK, TLS included."),
        Metric("tls_ms", "latency", "TCP connect and TLS handshake."),
        Metric("publish_ack_ms", "latency", "Intended send time of a QoS 1 publish to its PUBACK."),
        Metric(
            "end_to_end_ms",
            "latency",
            "Intended send time of a publish to its arrival at an observer.",
        ),
        Metric("command_ms", "latency", "Intended send time of a command to its final answer."),
        Metric(
            "lateness_ms", "latency", "Intended send time to the moment of writing: the generator."
        ),
        Metric("asked", "count", "Cars asked for.", _GROUP),
        Metric("connected", "count", "Cars that were connected at least once.", _GROUP),
        Metric("connected_share", "share", "connected / asked.", _GROUP),
        Metric("online_at_end", "count", "Cars connected when the last phase ended.", _GROUP),
        Metric("connects", "count", "Successful CONNECTs."),
        Metric("connect_failures", "count", "Attempts that did not reach a successful CONNACK."),
        Metric("disconnects", "count", "Connections that ended, other than at the end of the run."),
        Metric("published", "count", "Publishes written, resent ones excluded."),
        Metric("publish_rate_hz", "rate", "published per second."),
        Metric("acknowledged", "count", "QoS 1 publishes with a PUBACK of success."),
        Metric("publish_refused", "count", "PUBACKs with a reason code of failure."),
        Metric("resent", "count", "QoS 1 publishes written again after a reconnect."),
        Metric("unacknowledged", "count", "QoS 1 publishes without PUBACK at the end.", _GROUP),
        Metric(
            "not_sent",
            "count",
            "Due after a car's first connection, and never written.",
        ),
        Metric("not_sent_offline", "count", "Due while the car was offline."),
        Metric(
            "not_sent_window", "count", "Due while the in-flight window and its queue were full."
        ),
        Metric("not_sent_backpressure", "count", "Due while the socket took no more bytes."),
        Metric("received", "count", "Watched publishes that arrived at observers, repeated too."),
        Metric(
            "lost", "count", "Written for a watched car and never seen by its observer.", _GROUP
        ),
        Metric("lost_share", "share", "lost / written for watched cars.", _GROUP),
        Metric("repeated", "count", "Seen again by the same observer.", _GROUP),
        Metric("out_of_order", "count", "Seen by an observer after a later one.", _GROUP),
        Metric("undecodable", "count", "Messages an observer could not read.", _GROUP),
        Metric("commands_sent", "count", "Commands written by commanders."),
        Metric("commands_answered", "count", "Commands with a final answer in time."),
        Metric("commands_late", "count", "Commands whose final answer came after answer_within."),
        Metric("commands_unanswered", "count", "Commands without any final answer."),
        Metric("commands_failed", "count", "Final answers other than SUCCEEDED."),
        Metric("bytes_out", "count", "MQTT bytes written by cars and applications."),
        Metric("bytes_in", "count", "MQTT bytes read by cars and applications."),
        Metric("target_refusals", "count", "What the stand-in refused or dropped.", _WHOLE),
        Metric(
            "quota_refusals",
            "count",
            "What quotas of AWS IoT Core refused, or would have.",
            _QUOTA,
        ),
        Metric("probes_held", "count", "Quotas that probes found as documented.", _WHOLE),
        Metric("probes_failed", "count", "Quotas that probes found otherwise, or not.", _WHOLE),
        Metric("generator_cpu_share", "share", "CPU of the busiest worker, of one core.", _WHOLE),
        Metric("workers_lost", "count", "Workers that ended before their time.", _WHOLE),
        Metric("cost_usd", "amount", "Estimated cost of the run at AWS.", _WHOLE),
    )
}

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_LATENCY_UNIT_MS: Final = {"": "1", "ms": "1", "s": "1000", "us": "0.001"}
_PATTERN: Final = re.compile(
    r"(?P<metric>[a-z][a-z0-9_]*)(?:\.(?P<statistic>p\d{1,3}(?:\.\d{1,4})?|max|min|mean|count))?"
    r"\s*(?P<operator><=|>=|==|!=|<|>)\s*"
    r"(?P<number>-?\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>%|ms|us|s|usd|)"
    r"(?:\s+during\s+(?P<phase>[a-z0-9-]{1,32}))?(?:\s+of\s+(?P<whom>[a-z0-9-]{1,48}))?",
    re.ASCII | re.IGNORECASE,
)
_GRAMMAR: Final = (
    "write METRIC[.pNN] < NUMBER [during PHASE] [of GROUP], as in publish_ack_ms.p99 < 250"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One parsed check.

    Attributes:
        text: As written.
        metric: What is compared.
        statistic: `p99`, `max`, `min`, `mean` or `count` of a latency, else None.
        operator: One of `< <= > >= == !=`.
        bound: Right-hand side: milliseconds, a number, or a share from 0 to 1.
        phase: Only this phase.
        group: Only this group.
        quota: Only this quota.
    """

    text: str
    metric: Metric
    statistic: str | None
    operator: str
    bound: float
    phase: str | None
    group: str | None
    quota: str | None = None

    @property
    def percentile(self) -> float | None:
        """The percentile asked for, 0 to 100."""
        if self.statistic is None or not self.statistic.startswith("p"):
            return None
        return float(self.statistic[1:])

    def holds(self, value: float) -> bool:
        """Whether a measured value satisfies it."""
        return _OPERATORS[self.operator](value, self.bound)

    @classmethod
    def parse(cls, text: str) -> Check:
        """Read a check.

        Raises:
            ValueError: It has another form, names no metric, asks a percentile of a number, or a
                cut the metric does not have.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r:.80} is no check; {_GRAMMAR}")
        metric = METRICS.get(match["metric"])
        if metric is None:
            raise ValueError(f"{match['metric']!r} is no metric; there are {', '.join(METRICS)}")
        statistic, unit = match["statistic"], match["unit"].lower()
        if (metric.kind == "latency") != (statistic is not None):
            form = f"{metric.name}.p99" if metric.kind == "latency" else metric.name
            raise ValueError(f"write {form}: {metric.name} is a {metric.kind}")
        if statistic is not None and statistic.startswith("p") and float(statistic[1:]) > 100:  # noqa: PLR2004 - per cent
            raise ValueError(f"{statistic} is above the 100th percentile")
        whom: Cut = "quota" if "quota" in metric.cuts else "group"
        cuts: dict[Cut, str | None] = {"phase": match["phase"], whom: match["whom"]}
        for cut, name in cuts.items():
            if name is not None and cut not in metric.cuts:
                raise ValueError(f"{metric.name} has no value for one {cut}")
        return cls(
            text.strip(),
            metric,
            statistic,
            match["operator"],
            # Decimal arithmetic, so that 95 % is the 0.95 that a share of 19 / 20 is.
            float(Decimal(match["number"]) * Decimal(_scale(metric, statistic, unit))),
            cuts["phase"],
            cuts.get("group"),
            cuts.get("quota"),
        )


def _scale(metric: Metric, statistic: str | None, unit: str) -> str:
    if metric.kind == "latency" and statistic != "count" and unit in _LATENCY_UNIT_MS:
        return _LATENCY_UNIT_MS[unit]
    if metric.kind == "share" and unit in {"", "%"}:
        return "0.01" if unit == "%" else "1"
    if unit == "" or (metric.kind == "amount" and unit == "usd"):
        return "1"
    raise ValueError(f"{metric.name} is not measured in {unit}")


def _checked(text: str) -> str:
    Check.parse(text)
    return text


CheckText = Annotated[str, AfterValidator(_checked)]
"""The text of a check that parses."""
