"""What the service did, or would have done, about a broken quota, in one sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.quotas.table import Quota

_SUBJECTS: Final = {
    "connects-per-account": "CONNECTs",
    "connects-per-client-id": "CONNECTs",
    "connections-per-account": "CONNECTs",
    "client-id-bytes": "CONNECTs",
    "client-packet-bytes-least": "CONNECTs",
    "unacknowledged-in-per-client": "publishes",
    "topic-aliases": "publishes",
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
_SINGULARS: Final = {
    "CONNECTs": "CONNECT",
    "SUBSCRIBEs": "SUBSCRIBE",
    "publishes": "publish",
    "deliveries": "delivery",
    "messages": "message",
    "filters": "filter",
    "commands": "command",
    "certificates": "certificate",
    "updates": "update",
    "requests": "request",
    "and": "or",
}
_DELAYED: Final = "throughput-per-connection"
_PLACES: Final = {
    "account": "in the account",
    "client id": "with one client id",
    "client": "for one client",
    "connection": "on one connection",
    "session": "for one session",
    "message": "in one message",
    "request": "in one request",
    "topic": "on one topic",
    "shared group": "in one shared group",
    "shared group member": "for one member of a shared group",
    "shadow": "on one shadow",
    "device": "for one device",
    "account and operation": "of one operation in the account",
    "client id and operation": "of one operation on one client id",
}


def refusals_text(quota: Quota, count: int, *, is_enforced: bool = False) -> str:
    """A sentence such as "IoT Core would have refused 12 publishes: quota ... (100 publishes/s)".

    Args:
        quota: The quota that was broken.
        count: How often.
        is_enforced: Whether the stand-in did what the service would have done.
    """
    limit = f"{quota.name} ({quota.limit:,g} {quota.unit})"
    return f"{_deed(quota, count, '', is_enforced=is_enforced)}: quota {limit}"


def refused_text(
    quota: Quota, count: int, clients: Sequence[tuple[str, int]], *, is_enforced: bool = True
) -> str:
    """A sentence such as "IoT Core refused 12 publishes of car-7: more than 100 a second ...".

    Args:
        quota: The quota that was broken.
        count: How often.
        clients: Whose requests these were and how often, the most frequent first; printable.
        is_enforced: Whether they were refused; otherwise they would have been.
    """
    whose = ""
    if clients:
        first, times = clients[0]
        whose = f" of {first}"
        if len(clients) > 1:
            whose = f" of {len(clients):,} clients, most often of {first} ({times:,})"
    return f"{_deed(quota, count, whose, is_enforced=is_enforced)}: {_excess(quota)}"


def _deed(quota: Quota, count: int, whose: str, *, is_enforced: bool) -> str:
    """What the service did, or would have done, how often and to whom."""
    service = "IoT Core" if is_enforced else "IoT Core would have"
    if quota.id == _DELAYED:
        return f"{service} delayed packets{whose} {'once' if count == 1 else f'{count:,} times'}"
    return f"{service} refused {count:,} {_subject_of(quota, count)}{whose}"


def _subject_of(quota: Quota, count: int) -> str:
    """What is refused, named as closely as the table allows, in singular or plural."""
    subject = _subject(quota)
    if subject == "requests":
        subject = quota.name.partition(" per ")[0]
    if count != 1:
        return subject
    return " ".join(_SINGULARS.get(word, word) for word in subject.split())


def _excess(quota: Quota) -> str:
    """What was too much."""
    unit, limit = quota.unit, f"{quota.limit:,g}"
    if quota.bound == "least":
        return f"the {quota.name} is {limit} {unit}"
    if unit == "bytes":
        return f"{quota.name} above {limit} bytes"
    counted, slash, _ = unit.partition("/s")
    what = f"{limit} {unit}"
    if slash:
        what = f"{limit} KB a second" if counted == "KB" else f"{limit} a second"
    return f"more than {what} {_PLACES.get(quota.per, '')}".rstrip()


def _subject(quota: Quota) -> str:
    """What is refused: what is counted, or what it is a property of."""
    known = _SUBJECTS.get(quota.id)
    if known is not None:
        return known
    counted, slash, second = quota.unit.partition("/")
    return counted if slash and second == "s" else f"{quota.per}s"
