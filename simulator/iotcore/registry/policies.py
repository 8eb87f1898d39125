"""Policies by name: up to five versions of each, and the default one ready to be applied.

Sources: AWS IoT API reference, CreatePolicy, CreatePolicyVersion and their siblings; AWS IoT Core
quota "versions per policy". Knows nothing about what the policies are attached to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry.records import PolicyVersion, StoredPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS_MAX: Final = 5


class Policies:
    """The account's policies.

    Args:
        changed: Called after every change.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._stored: dict[str, StoredPolicy] = {}
        self._in_force: dict[str, Policy] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def get(self, name: str) -> StoredPolicy | None:
        """The policy with this name, with its versions."""
        return self._stored.get(name)

    def in_force(self, name: str) -> Policy:
        """The default version of a policy, parsed.

        Raises:
            ConfigurationError: There is no such policy.
        """
        found = self._in_force.get(name)
        if found is None:
            raise ConfigurationError(
                f"policy {name!r} is not known", f"known: {sorted(self._stored)[:20]}"
            )
        return found

    def names(self) -> tuple[str, ...]:
        """All policies, in the order they were created."""
        return tuple(self._stored)

    def values(self) -> tuple[StoredPolicy, ...]:
        """All policies, in the order they were created."""
        return tuple(self._stored.values())

    def put(self, policy: Policy, unix_s: float, generation: str) -> None:
        """Put a policy in force under its name.

        A new document becomes the default version; the oldest other version makes room for it
        when there are five. The document in force already changes nothing.
        """
        stored = self._stored.get(policy.name)
        if stored is None:
            version = PolicyVersion(policy.document, unix_s)
            self._stored[policy.name] = StoredPolicy(
                policy.name, {1: version}, 1, 1, unix_s, unix_s, generation
            )
            self._in_force[policy.name] = policy
            self._changed()
            return
        if stored.versions[stored.default_version].document == policy.document:
            return
        if len(stored.versions) >= VERSIONS_MAX:
            del stored.versions[next(n for n in stored.versions if n != stored.default_version)]
        self.add_version(policy, unix_s, is_default=True)

    def add_version(self, policy: Policy, unix_s: float, *, is_default: bool) -> int:
        """Store a new version of a stored policy that has fewer than five.

        Returns:
            Its id. Ids count up and are never used again.

        Raises:
            ConfigurationError: There are five versions.
        """
        stored = self._stored[policy.name]
        if len(stored.versions) >= VERSIONS_MAX:
            raise ConfigurationError(
                f"policy {policy.name} has {VERSIONS_MAX} versions, the most AWS allows",
                "delete one",
            )
        stored.last_version += 1
        stored.versions[stored.last_version] = PolicyVersion(policy.document, unix_s)
        stored.modified_s = unix_s
        if is_default:
            stored.default_version = stored.last_version
            self._in_force[policy.name] = policy
        self._changed()
        return stored.last_version

    def set_default(self, name: str, version: int, unix_s: float) -> None:
        """Put one of the stored versions in force."""
        stored = self._stored[name]
        if stored.default_version != version:
            self._in_force[name] = _parsed(name, stored.versions[version].document)
            stored.default_version, stored.modified_s = version, unix_s
            self._changed()

    def delete_version(self, name: str, version: int, unix_s: float) -> None:
        """Forget a stored version that is not the default one."""
        del self._stored[name].versions[version]
        self._stored[name].modified_s = unix_s
        self._changed()

    def delete(self, name: str) -> None:
        """Forget a policy that is attached to nothing."""
        del self._stored[name]
        del self._in_force[name]
        self._changed()

    def restore(self, stored: StoredPolicy) -> None:
        """Take a policy over from a document.

        Raises:
            ValueError: It has no valid default version, or a version id beyond its last one.
        """
        default = stored.versions.get(stored.default_version)
        if default is None or not all(0 < n <= stored.last_version for n in stored.versions):
            raise ValueError(f"policy {stored.name} has wrong versions")
        for version in stored.versions.values():
            _parsed(stored.name, version.document)
        self._in_force[stored.name] = _parsed(stored.name, default.document)
        self._stored[stored.name] = stored

    def adopt(self, other: Policies) -> None:
        """Take over everything another one holds, without a call of `changed`."""
        self._stored, self._in_force = other._stored, other._in_force


def _parsed(name: str, document: str) -> Policy:
    """A stored document. Its length was checked when it came, unless it came from a program."""
    return Policy.parse(name, json.loads(document))
