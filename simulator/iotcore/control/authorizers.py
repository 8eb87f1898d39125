"""Custom authorizers as the API sees them: CreateAuthorizer and its siblings.

Sources: AWS IoT API reference; developer guide, "Creating and managing custom authorizers". Only
the records: whoever lets a connection in calls the function. What AWS does not say and was chosen
here: an authorizer is INACTIVE unless the request says otherwise, the default one cannot be
deleted, and SetDefaultAuthorizer replaces an earlier default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from simulator.iotcore.control.failures import (
    AlreadyExists,
    delete_conflict,
    invalid,
    limit_exceeded,
    not_found,
)
from simulator.iotcore.control.reading import ControlMembers, dated
from simulator.iotcore.registry import CustomAuthorizer
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

AUTHORIZERS_MAX: Final = 10
"""AWS IoT Core quota "active custom authorizers"; here of all of them."""

SIGNING_KEYS_MAX: Final = 2
_KEY_CHARACTERS_MAX: Final = 5_120
_NAME: Final = r"[\w=,@-]{1,128}"
_TOKEN_KEY: Final = r"[a-zA-Z0-9_-]{1,128}"  # noqa: S105 - a pattern, no token
_STATUSES: Final = ("ACTIVE", "INACTIVE")


class Authorizers:
    """The operations on custom authorizers.

    Args:
        resources: What is shown and changed.
    """

    def __init__(self, resources: Resources) -> None:
        self._registry = resources.registry
        self._authorizers = resources.registry.authorizers
        self._names = resources.names
        self._tags = resources.tags
        self._unix_s = resources.unix_s

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreateAuthorizer": self.create_authorizer,
            "DescribeAuthorizer": self.describe_authorizer,
            "UpdateAuthorizer": self.update_authorizer,
            "DeleteAuthorizer": self.delete_authorizer,
            "ListAuthorizers": self.list_authorizers,
            "SetDefaultAuthorizer": self.set_default_authorizer,
            "DescribeDefaultAuthorizer": self.describe_default_authorizer,
            "ClearDefaultAuthorizer": self.clear_default_authorizer,
        }

    def create_authorizer(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreateAuthorizer."""
        members = ControlMembers(request)
        name, unix_s = _name(members), self._unix_s(now_s)
        wanted = CustomAuthorizer(
            name=name,
            function_arn=members.required_text("authorizerFunctionArn", longest=2_048),
            token_key_name=members.text("tokenKeyName", pattern=_TOKEN_KEY),
            signing_keys=_signing_keys(members) or {},
            is_active=members.choice("status", _STATUSES) == "ACTIVE",
            signing_disabled=members.flag("signingDisabled") is True,
            caches_for_http=members.flag("enableCachingForHttp") is True,
            created_s=unix_s,
            modified_s=unix_s,
        )
        _check(wanted)
        tags = members.tags()
        if name in self._authorizers:
            raise AlreadyExists(f"Authorizer {name} already exists", name, self._arn(name))
        if len(self._authorizers) >= AUTHORIZERS_MAX:
            raise limit_exceeded(f"The account has {AUTHORIZERS_MAX} authorizers")
        self._authorizers.put(name, wanted)
        self._tags.put(self._arn(name), tags)
        return self._named(name), []

    def describe_authorizer(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeAuthorizer."""
        return self._described(self._known(ControlMembers(request))), []

    def update_authorizer(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateAuthorizer."""
        members = ControlMembers(request)
        found = self._known(members)
        status, keys = members.choice("status", _STATUSES), _signing_keys(members)
        caches = members.flag("enableCachingForHttp")
        function_arn = members.text("authorizerFunctionArn", longest=2_048)
        token_key_name = members.text("tokenKeyName", pattern=_TOKEN_KEY)
        changed = replace(
            found,
            function_arn=function_arn or found.function_arn,
            token_key_name=token_key_name or found.token_key_name,
            signing_keys=found.signing_keys if keys is None else keys,
            is_active=found.is_active if status is None else status == "ACTIVE",
            caches_for_http=found.caches_for_http if caches is None else caches,
            modified_s=self._unix_s(now_s),
        )
        _check(changed)
        self._authorizers.put(found.name, changed)
        return self._named(found.name), []

    def delete_authorizer(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteAuthorizer."""
        found = self._known(ControlMembers(request))
        if self._registry.default_authorizer == found.name:
            raise delete_conflict(f"Authorizer {found.name} is the default authorizer")
        self._authorizers.delete(found.name)
        self._tags.forget(self._arn(found.name))
        return {}, []

    def list_authorizers(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListAuthorizers."""
        members = ControlMembers(request)
        status = members.choice("status", _STATUSES)
        rows = (
            (dated(one.created_s, one.name), self._named(one.name))
            for one in self._authorizers.values()
            if status in {None, _STATUSES[not one.is_active]}
        )
        return members.marked_listing("authorizers", rows, by_date=True), []

    def set_default_authorizer(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """SetDefaultAuthorizer."""
        found = self._known(ControlMembers(request))
        self._registry.set_default_authorizer(found.name)
        return self._named(found.name), []

    def describe_default_authorizer(
        self, _request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """DescribeDefaultAuthorizer."""
        return self._described(self._default()), []

    def clear_default_authorizer(
        self, _request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ClearDefaultAuthorizer."""
        self._default()
        self._registry.set_default_authorizer(None)
        return {}, []

    # Inside

    def _default(self) -> CustomAuthorizer:
        name = self._registry.default_authorizer
        found = None if name is None else self._authorizers.get(name)
        if found is None:
            raise not_found("There is no default authorizer.")
        return found

    def _known(self, members: ControlMembers) -> CustomAuthorizer:
        name = _name(members)
        found = self._authorizers.get(name)
        if found is None:
            raise not_found(f"Authorizer {name} not found.")
        return found

    def _arn(self, name: str) -> str:
        return self._names.arn("authorizer", name)

    def _named(self, name: str) -> Result:
        return {"authorizerName": name, "authorizerArn": self._arn(name)}

    def _described(self, found: CustomAuthorizer) -> Result:
        description = self._named(found.name) | {
            "authorizerFunctionArn": found.function_arn,
            "tokenKeyName": found.token_key_name,
            "tokenSigningPublicKeys": dict(found.signing_keys) or None,
            "status": _STATUSES[not found.is_active],
            "creationDate": found.created_s,
            "lastModifiedDate": found.modified_s,
            "signingDisabled": found.signing_disabled,
            "enableCachingForHttp": found.caches_for_http,
        }
        return {"authorizerDescription": without_nulls(description)}


def _name(members: ControlMembers) -> str:
    return members.required_text("authorizerName", pattern=_NAME)


def _signing_keys(members: ControlMembers) -> dict[str, str] | None:
    keys = members.text_map("tokenSigningPublicKeys")
    if keys is not None and len(keys) > SIGNING_KEYS_MAX:
        raise invalid(f"An authorizer has at most {SIGNING_KEYS_MAX} public keys")
    for name, pem in (keys or {}).items():
        if len(pem) > _KEY_CHARACTERS_MAX:
            raise invalid(f"The public key {name[:128]} is too long")
    return keys


def _check(wanted: CustomAuthorizer) -> None:
    if not wanted.signing_disabled and not (wanted.token_key_name and wanted.signing_keys):
        raise invalid("tokenKeyName and tokenSigningPublicKeys are required when tokens are signed")
