"""What the service would have done about a broken quota, in one sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulator.quotas.table import Quota

_SUBJECTS: Final = {
    "connects-per-account": "CONNECTs",
    "connects-per-client-id": "CONNECTs",
    "connections-per-account": "CONNECTs",
    "client-id-bytes": "CONNECTs",
    "client-packet-bytes-least": "CONNECTs",
    "publishes-out-per-account": "deliveries",
    "publishes-per-connection": "publishes and deliveries",
    "queued-per-account": "messages for offline sessions",
    "queued-per-shared-group": "messages for shared groups",
    "retained-messages": "publishes with RETAIN",
    "retained-publishes-per-account": "publishes with RETAIN",
    "retained-publishes-per-topic": "publishes with RETAIN",
    "subscriptions-per-account": "filters",
    "subscriptions-per-connection": "filters",
    "filters-per-subscribe": "SUBSCRIBEs",
    "shared-groups": "filters",
    "shared-subscriptions-per-group": "filters",
    "shared-changes-per-group": "filters",
    "shadow-document-bytes": "shadow updates",
    "commands-per-device": "commands",
}
_DELAYED: Final = "throughput-per-connection"


def refusals_text(quota: Quota, count: int) -> str:
    """A sentence such as "IoT Core would have refused 12 publishes: quota ... (100 publishes/s)".

    Args:
        quota: The quota that was broken.
        count: How often.
    """
    limit = f"{quota.name} ({quota.limit:,g} {quota.unit})"
    if quota.id == _DELAYED:
        times = "once" if count == 1 else f"{count:,} times"
        return f"IoT Core would have delayed a connection {times}: quota {limit}"
    return f"IoT Core would have refused {count:,} {_subject(quota)}: quota {limit}"


def _subject(quota: Quota) -> str:
    """What is refused: what is counted, or what it is a property of."""
    known = _SUBJECTS.get(quota.id)
    if known is not None:
        return known
    counted, slash, second = quota.unit.partition("/")
    return counted if slash and second == "s" else f"{quota.per}s"
