"""Provisioning templates: the JSON document, and what it asks for with a device's parameters.

Pure functions of the document and the parameters. Source: AWS IoT Core developer guide,
"Provisioning templates" (sections, override settings, intrinsic functions); the codes and wordings
of refusals are what the service was seen to answer. Knows nothing about the registry.

Supported: `Parameters` with defaults, `Mappings`, `Resources` of the types Thing, Certificate (by
`AWS::IoT::Certificate::Id`) and Policy, `OverrideSettings`, `DeviceConfiguration`, `Ref`,
`Fn::Join`, `Fn::Select`, `Fn::Split`, `Fn::FindInMap` and `Fn::Sub`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulator.iotcore.services.formats import Format, PayloadError, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BODY_BYTES_MAX: Final = 10_240
"""AWS IoT Core quota "fleet provisioning template size"."""

PARAMETER_CHARACTERS_MAX: Final = 4_096
"""Of one value; AWS IoT API reference, RegisterThing."""

PARAMETERS_MAX: Final = 100
"""Of one request. AWS names no number."""

TEXT_CHARACTERS_MAX: Final = 65_536
"""Of one text after the functions were applied. AWS names no number."""

CERTIFICATE_ID: Final = "AWS::IoT::Certificate::Id"
OVERRIDES: Final = ("DO_NOTHING", "REPLACE", "FAIL", "MERGE")

_THING: Final = "AWS::IoT::Thing"
_CERTIFICATE: Final = "AWS::IoT::Certificate"
_POLICY: Final = "AWS::IoT::Policy"
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")


class TemplateError(ValueError):
    """The document is no template. The text completes "The template body is invalid: ..."."""


class ProvisioningRefusal(Exception):  # noqa: N818 - not an error of ours: the answer to a request
    """A device is not provisioned.

    Args:
        code: `errorCode` of the answer.
        message: `errorMessage` of the answer.
        status: `statusCode` of the answer.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class ThingPlan:
    """The thing a template asks for. None stands for a property it does not have."""

    name: str
    attributes: dict[str, str] | None
    type_name: str | None
    groups: list[str] | None
    overrides: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """A policy a template asks for: an existing one, or a document under a name of its own."""

    name: str
    document: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a template asks for, for one device."""

    thing: ThingPlan | None
    is_active: bool
    policies: tuple[PolicyPlan, ...]
    device_configuration: dict[str, Any] = field(default_factory=dict)


class ProvisioningTemplate:
    """A parsed template.

    Args:
        body: The document, JSON text of at most 10,240 bytes.

    Raises:
        TemplateError: It is not one the service would take.
    """

    def __init__(self, body: str) -> None:
        payload = body.encode(errors="replace")
        if len(payload) > BODY_BYTES_MAX:
            raise TemplateError(f"it has more than {BODY_BYTES_MAX} bytes.")
        try:
            document = read(payload, Format.JSON)
        except PayloadError as error:
            raise TemplateError("it is not valid JSON.") from error
        if not isinstance(document, dict):
            raise TemplateError("it is not a JSON object.")
        sections = {
            name: document.get(name) or {}
            for name in ("Parameters", "Mappings", "Resources", "DeviceConfiguration")
        }
        for name, section in sections.items():
            if not isinstance(section, dict):
                raise TemplateError(f"{name} must be an object.")
        self._defaults = {
            name: entry["Default"]
            for name, entry in sections["Parameters"].items()
            if isinstance(entry, dict) and isinstance(entry.get("Default"), str)
        }
        self._declared = tuple(sections["Parameters"])
        self._mappings = sections["Mappings"]
        self._device_configuration = sections["DeviceConfiguration"]
        self._resources = _read_resources(sections["Resources"])

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the declared parameters."""
        return self._declared

    def resolve(self, given: Mapping[str, str], certificate_id: str) -> Plan:
        """What the template asks for.

        Args:
            given: The device's parameters, hook overrides included.
            certificate_id: The certificate that is being provisioned.

        Raises:
            ProvisioningRefusal: InvalidParameters for a reference without a value, InvalidTemplate
                for a function that cannot be applied.
        """
        values = self._defaults | dict(given) | {CERTIFICATE_ID: certificate_id}
        resolve = _Resolver(values, self._mappings)
        thing: ThingPlan | None = None
        is_active = True
        policies: list[PolicyPlan] = []
        for resource in self._resources:
            properties = resolve(resource["Properties"])
            if resource["Type"] == _THING:
                thing = _thing_plan(properties, resource.get("OverrideSettings") or {})
            elif resource["Type"] == _CERTIFICATE:
                is_active = properties["Status"].lower() == "active"
            else:
                policies.append(_policy_plan(properties))
        return Plan(thing, is_active, tuple(policies), resolve(self._device_configuration))


def _read_resources(raw: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    certificates = 0
    things = 0
    for resource in raw.values():
        if not isinstance(resource, dict):
            raise TemplateError("A resource must be an object.")
        properties = resource.get("Properties")
        if not isinstance(properties, dict):
            raise TemplateError("Properties of a resource cannot be null.")
        overrides = resource.get("OverrideSettings") or {}
        if not isinstance(overrides, dict) or not set(overrides.values()) <= set(OVERRIDES):
            raise TemplateError(f"OverrideSettings must be one of {', '.join(OVERRIDES)}.")
        kind = resource.get("Type")
        if kind == _CERTIFICATE:
            certificates += 1
            _check_certificate(properties)
        elif kind == _THING:
            things += 1
        elif kind == _POLICY:
            if ("PolicyName" in properties) == ("PolicyDocument" in properties):
                raise TemplateError("A policy needs either PolicyName or PolicyDocument.")
        else:
            raise TemplateError(f"Resource type {str(kind)[:64]} is not supported.")
    if certificates == 0:
        raise TemplateError("Template must have certificate resource.")
    if certificates > 1:
        raise TemplateError("Only one certificate resource can be defined")
    if things > 1:
        raise TemplateError("Only one thing resource can be defined")
    return tuple(raw.values())


def _check_certificate(properties: dict[str, Any]) -> None:
    if properties.get("CertificateId") != {"Ref": CERTIFICATE_ID}:
        raise TemplateError(f"CertificateId must contain a reference to {CERTIFICATE_ID}")
    status = properties.setdefault("Status", "Active")
    if not isinstance(status, str) or status.lower() not in {"active", "inactive"}:
        raise TemplateError(
            'A certificate resource must specify a Status of either "Active" or "Inactive"'
        )


def _thing_plan(properties: dict[str, Any], overrides: Mapping[str, str]) -> ThingPlan:
    name = properties.get("ThingName")
    attributes = properties.get("AttributePayload")
    type_name = properties.get("ThingTypeName")
    groups = properties.get("ThingGroups")
    if not isinstance(name, str):
        raise _invalid(f"{_THING}: ThingName")
    if attributes is not None and (
        not isinstance(attributes, dict)
        or not all(isinstance(value, str) for value in attributes.values())
    ):
        raise _invalid(f"{_THING}: AttributePayload")
    if type_name is not None and not isinstance(type_name, str):
        raise _invalid(f"{_THING}: ThingTypeName")
    if groups is not None and (
        not isinstance(groups, list) or not all(isinstance(group, str) for group in groups)
    ):
        raise _invalid(f"{_THING}: ThingGroups")
    return ThingPlan(name, attributes, type_name, groups, overrides)


def _policy_plan(properties: dict[str, Any]) -> PolicyPlan:
    name, document = properties.get("PolicyName"), properties.get("PolicyDocument")
    if isinstance(name, str) and name:
        return PolicyPlan(name, None)
    if isinstance(document, dict):
        document = json.dumps(document)
    if not isinstance(document, str):
        raise _invalid(_POLICY)
    # Guide: PolicyName "defaults to a hash of the policy document".
    return PolicyPlan(hashlib.sha256(document.encode()).hexdigest(), document)


class _Resolver:
    """Replaces references and functions by their values."""

    def __init__(self, values: Mapping[str, str], mappings: Mapping[str, Any]) -> None:
        self._values = values
        self._mappings = mappings
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Sub": self._sub,
        }

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self(child) for child in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref":
                return self._reference(argument)
            if name.startswith("Fn::"):
                function = self._functions.get(name)
                if function is None:
                    raise _invalid(name[:64])
                return function(self(argument))
        return {key: self(child) for key, child in value.items()}

    def _reference(self, name: Any) -> str:
        found = self._values.get(name) if isinstance(name, str) else None
        if found is None:
            raise ProvisioningRefusal(
                "InvalidParameters", f"Cannot resolve reference value: {str(name)[:128]}"
            )
        return found

    @staticmethod
    def _join(argument: Any) -> str:
        match argument:
            case [str(delimiter), [*parts]] if all(isinstance(part, str) for part in parts):
                return _bounded([delimiter.join(parts)], "Fn::Join")
        raise _invalid("Fn::Join")

    @staticmethod
    def _select(argument: Any) -> Any:
        match argument:
            case [int() | str() as index, [*parts]] if re.fullmatch(r"[0-9]{1,4}", str(index)):
                if int(index) < len(parts) and parts[int(index)] is not None:
                    return parts[int(index)]
        raise _invalid("Fn::Select")

    @staticmethod
    def _split(argument: Any) -> list[str]:
        match argument:
            case [str(delimiter), str(text)] if delimiter:
                return text.split(delimiter)
        raise _invalid("Fn::Split")

    def _find_in_map(self, argument: Any) -> Any:
        match argument:
            case [str(), str(), str()]:
                found: Any = self._mappings
                for key in argument:
                    found = found.get(key) if isinstance(found, dict) else None
                if found is not None:
                    return found
        raise _invalid("Fn::FindInMap")

    def _sub(self, argument: Any) -> str:
        match argument:
            case str(text):
                return self._substitute(text, {})
            case [str(text), dict(variables)] if all(
                isinstance(value, str) for value in variables.values()
            ):
                return self._substitute(text, variables)
        raise _invalid("Fn::Sub")

    def _substitute(self, text: str, variables: Mapping[str, str]) -> str:
        parts: list[str] = []
        position = 0
        for found in _VARIABLE.finditer(text):
            name = found[1]
            parts.append(text[position : found.start()])
            if name.startswith("!"):
                parts.append(f"${{{name[1:]}}}")
            else:
                parts.append(variables[name] if name in variables else self._reference(name))
            position = found.end()
        return _bounded([*parts, text[position:]], "Fn::Sub")


def _bounded(parts: list[str], function: str) -> str:
    """The parts as one text, made only when it is not too long."""
    if sum(map(len, parts)) > TEXT_CHARACTERS_MAX:
        raise _invalid(function)
    return "".join(parts)


def _invalid(element: str) -> ProvisioningRefusal:
    return ProvisioningRefusal("InvalidTemplate", f"The template has an invalid {element}.")
