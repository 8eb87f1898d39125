"""Tags of resources, by ARN.

Sources: AWS IoT API reference, TagResource and its siblings; developer guide, "Tagging your AWS IoT
resources" (50 per resource; things cannot be tagged). Tags of resources that other services keep,
such as jobs, are taken without a look whether the resource exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.iotcore.control.failures import invalid, limit_exceeded, not_found
from simulator.iotcore.control.reading import TAGS_MAX, ControlMembers

if TYPE_CHECKING:
    from collections.abc import Container

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.names import Names
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.services.members import Request, Result

RESOURCES_MAX: Final = 100_000
"""Resources with tags. Beyond, LimitExceededException."""

_ELSEWHERE: Final = frozenset(
    {
        "job",
        "jobtemplate",
        "stream",
        "provisioningtemplate",
        "command",
        "rule",
        "securityprofile",
        "otaupdate",
    }
)
"""Kinds of resources that can be tagged and are kept by other services."""


class Tags:
    """The operations on tags, and what else becomes of them.

    Args:
        registry: Where they are kept.
        names: Reads ARNs.
    """

    def __init__(self, registry: Registry, names: Names) -> None:
        self._registry = registry
        self._names = names

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
            "ListTagsForResource": self.list_tags_for_resource,
        }

    def put(self, arn: str, tags: dict[str, str]) -> None:
        """Keep the tags a resource is created with."""
        if tags:
            self._registry.tags.put(arn, tags)

    def forget(self, arn: str) -> None:
        """Forget the tags of a resource that was deleted."""
        self._registry.tags.delete(arn)

    def tag_resource(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """TagResource."""
        members = ControlMembers(request)
        arn, tags = self._resource(members), members.tags()
        merged = (self._registry.tags.get(arn) or {}) | tags
        if len(merged) > TAGS_MAX:
            raise limit_exceeded(f"A resource has at most {TAGS_MAX} tags")
        if arn not in self._registry.tags and len(self._registry.tags) >= RESOURCES_MAX:
            raise limit_exceeded(f"{RESOURCES_MAX} resources have tags")
        self.put(arn, merged)
        return {}, []

    def untag_resource(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """UntagResource."""
        members = ControlMembers(request)
        arn, keys = self._resource(members), set(members.texts("tagKeys"))
        found = self._registry.tags.get(arn) or {}
        rest = {key: value for key, value in found.items() if key not in keys}
        if rest:
            self._registry.tags.put(arn, rest)
        else:
            self._registry.tags.delete(arn)
        return {}, []

    def list_tags_for_resource(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListTagsForResource."""
        members = ControlMembers(request)
        found = self._registry.tags.get(self._resource(members)) or {}
        rows = ((key, {"Key": key, "Value": value}) for key, value in found.items())
        return members.listing("tags", rows), []

    def _resource(self, members: ControlMembers) -> str:
        arn = members.required_text("resourceArn", longest=2_048)
        kind, name = self._names.within(arn)
        registry = self._registry
        kept: dict[str, Container[str]] = {
            "thingtype": registry.types,
            "policy": registry.policies,
            "cacert": registry.authorities,
            "rolealias": registry.role_aliases,
            "authorizer": registry.authorizers,
            "thinggroup": registry.groups.names(),
        }
        if kind in kept:
            if name not in kept[kind]:
                raise not_found(f"Resource {arn} not found.")
        elif kind not in _ELSEWHERE:
            raise invalid(f"Resources of the kind {kind} cannot be tagged")
        return arn
