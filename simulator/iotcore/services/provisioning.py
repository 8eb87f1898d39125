"""Fleet provisioning over MQTT: certificates for devices, and things for certificates.

Serves `$aws/certificates/create/<format>`, `$aws/certificates/create-from-csr/<format>` and
`$aws/provisioning-templates/<template>/provision/<format>` and the operations of the API on
templates and claims. Sources: AWS IoT Core developer guide, "Device provisioning MQTT API",
"Pre-provisioning hooks" and "Provisioning devices that don't have device certificates"; AWS IoT
API reference. Knows nothing about connections or TLS.

A pre-provisioning hook runs here or outside. A callable registered for the hook's target is called
at once. Without one the call waits in `take_hook_calls`; whoever runs it comes back with
`finish_hook`. A call that is not finished in time is refused.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from certs.errors import ConfigurationError
from simulator.iotcore.deadlines import Deadlines
from simulator.iotcore.registry import CertificateStatus
from simulator.iotcore.services.formats import Format, PayloadError, read_object
from simulator.iotcore.services.members import Members, Request, Result
from simulator.iotcore.services.provisioning_catalogue import (
    INVALID,
    JITP,
    Template,
    TemplateCatalogue,
)
from simulator.iotcore.services.provisioning_changes import apply
from simulator.iotcore.services.provisioning_claims import Claim, Claims
from simulator.iotcore.services.provisioning_hook import (
    HOOK_TIMEOUT_S,
    HookCall,
    hook_failed,
    read_overrides,
    read_parameters,
)
from simulator.iotcore.services.provisioning_requests import Asker, Pending, Target
from simulator.iotcore.services.provisioning_template import (
    ProvisioningRefusal,
    ProvisioningTemplate,
)
from simulator.iotcore.services.saved import restored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.services.provisioning_authority import (
        CertificateAuthority,
        IssuedCertificate,
    )

TOKEN_S: Final = 3_600
"""How long an ownership token is valid; developer guide, "Device provisioning MQTT API"."""

TOKENS_MAX: Final = 100_000
"""Certificates waiting for RegisterThing. Beyond, requests are refused with 429."""

HOOK_CALLS_MAX: Final = 1_000
"""Hook calls under way. Beyond, requests are refused."""


class _Token(msgspec.Struct):
    """A certificate whose ownership a token proves."""

    token: str
    certificate_id: str
    certificate_pem: str
    expires_unix_s: float


class _Saved(msgspec.Struct):
    templates: list[Any]
    tokens: list[_Token]
    claims: list[Claim]


class Provisioning:
    """The service. It keeps at most 100,000 ownership tokens and 256 templates.

    Args:
        registry: What is provisioned.
        authority: Makes the certificates.
        account: Whose ARNs these are.
        new_id: Makes ownership tokens and ids of hook calls; must not be guessable.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
        certificate_of: The certificate id of a connected client, for hooks.
        hook_timeout_s: How long a hook may take.

    Attributes:
        hook_waits: Called when `take_hook_calls` has something to give.
    """

    def __init__(
        self,
        registry: Registry,
        authority: CertificateAuthority,
        *,
        account: Account,
        new_id: Callable[[], str],
        unix_s_at_zero: float,
        certificate_of: Callable[[str], str | None] = lambda _: None,
        hook_timeout_s: float = HOOK_TIMEOUT_S,
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._arn_prefix = account.arn_prefix
        self._new_id = new_id
        self._unix_s_at_zero = unix_s_at_zero
        self._certificate_of = certificate_of
        self._hook_timeout_s = hook_timeout_s
        self.hook_waits: Callable[[], None] = lambda: None
        self._templates = TemplateCatalogue(self._template_arn, unix_s_at_zero)
        self._tokens: dict[str, _Token] = {}
        self._token_ends: Deadlines[str] = Deadlines()
        self._claims = Claims(registry, authority, account.arn_prefix, unix_s_at_zero)
        self._calls: deque[HookCall] = deque()
        self._pending: dict[str, Pending] = {}
        self._hook_ends: Deadlines[str] = Deadlines()

    # Devices

    def claims(self, topic: str, /) -> bool:
        """Whether the topic is one of the request topics, in JSON or CBOR."""
        return Target.of(topic) is not None

    def handle(self, message: Message, client_id: str | None, now_s: float, /) -> Sequence[Answer]:
        """Serve a device.

        Returns:
            The direct answer on `<topic>/accepted` or `<topic>/rejected`; nothing yet when a hook
            runs outside.
        """
        target = Target.of(message.topic)
        if target is None:
            return ()
        asker = Asker(message.topic, target.format, message.qos, client_id)
        try:
            if target.operation == "provision":
                accepted = self._register_thing(target, message.payload, asker, now_s)
            else:
                accepted = self._create_certificate(target, message.payload, now_s)
        except ProvisioningRefusal as refusal:
            return [asker.rejected(refusal, now_s)]
        return [] if accepted is None else [asker.answer("accepted", accepted, now_s)]

    def throttled(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer]:
        """Reject a device's request with 429."""
        target = Target.of(message.topic)
        if target is None:
            return ()
        asker = Asker(message.topic, target.format, message.qos, client_id)
        refusal = ProvisioningRefusal("TooManyRequests", "Rate exceeded", 429)
        return [asker.rejected(refusal, now_s)]

    def _create_certificate(self, target: Target, payload: bytes, now_s: float) -> dict[str, Any]:
        if len(self._tokens) >= TOKENS_MAX:
            raise ProvisioningRefusal(
                "TooManyRequests", "Too many certificates wait for RegisterThing", 429
            )
        unix_s = now_s + self._unix_s_at_zero
        if target.operation == "create":
            # The guide gives the request no payload, and whatever comes is ignored.
            issued = self._authority.create(unix_s)
        else:
            issued = self._sign(_read(payload, target.format), unix_s)
        self._registry.register_certificate(
            issued.certificate_id,
            CertificateStatus.PENDING_ACTIVATION,
            pem=issued.certificate_pem,
            unix_s=unix_s,
        )
        token = self._new_id()
        self._tokens[token] = _Token(
            token, issued.certificate_id, issued.certificate_pem, unix_s + TOKEN_S
        )
        self._token_ends.set(token, now_s + TOKEN_S)
        accepted = {
            "certificateId": issued.certificate_id,
            "certificatePem": issued.certificate_pem,
            "certificateOwnershipToken": token,
        }
        if issued.private_key_pem is not None:
            accepted["privateKey"] = issued.private_key_pem
        return accepted

    def _sign(self, request: dict[str, Any], unix_s: float) -> IssuedCertificate:
        pem = request.get("certificateSigningRequest")
        if not isinstance(pem, str) or not pem:
            raise ProvisioningRefusal(
                "InvalidCsr", "Certificate signing request must be a PEM text."
            )
        try:
            issued = self._authority.sign(pem, unix_s)
        except ConfigurationError as error:
            raise ProvisioningRefusal(
                "InvalidCsr", f"Certificate signing request is invalid: {error.what}"
            ) from error
        # The same device asking twice for the same key gets two certificates, as serial numbers
        # differ; an authority that repeats itself must not take a certificate in use away.
        known = self._registry.certificate(issued.certificate_id)
        if known is not None and known.status is not CertificateStatus.PENDING_ACTIVATION:
            raise ProvisioningRefusal("InvalidCsr", "The certificate is registered already.", 409)
        return issued

    def _register_thing(
        self, target: Target, payload: bytes, asker: Asker, now_s: float
    ) -> dict[str, Any] | None:
        request = _read(payload, target.format)
        template = self._usable(target.template)
        token = request.get("certificateOwnershipToken")
        if token is None or token == "":
            raise ProvisioningRefusal(
                "InvalidCertificateOwnershipToken", "Certificate ownership token cannot be empty."
            )
        owned = self._tokens.get(token) if isinstance(token, str) else None
        if owned is None or owned.expires_unix_s <= now_s + self._unix_s_at_zero:
            raise _invalid_token()
        parameters = read_parameters(request.get("parameters"))
        if template.hook_arn is None:
            return self._provision(template, owned.certificate_id, parameters)
        event = {
            "claimCertificateId": self._certificate_of(asker.client_id or "") or "",
            "certificateId": owned.certificate_id,
            "certificatePem": owned.certificate_pem,
            "templateArn": self._template_arn(template.name),
            "clientId": asker.client_id or "",
            "parameters": dict(parameters),
        }
        pending = Pending(asker, template.name, owned.certificate_id, parameters)
        self._wait_for_hook(template.hook_arn, event, pending, now_s)
        return None

    def _usable(self, name: str) -> Template:
        template = self._templates.find(name)
        if template is None or template.kind == JITP:
            raise ProvisioningRefusal(
                "InvalidTemplate", f"Template with name {name[:36]} does not exist."
            )
        if not template.enabled:
            raise ProvisioningRefusal("InvalidTemplate", f"Template {name} is not enabled.")
        return template

    def _provision(
        self, template: Template, certificate_id: str, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        if self._registry.certificate(certificate_id) is None:
            raise _invalid_token()
        plan = ProvisioningTemplate(template.body).resolve(parameters, certificate_id)
        thing_name = apply(plan, certificate_id, self._registry)
        accepted: dict[str, Any] = {"deviceConfiguration": plan.device_configuration}
        if thing_name is not None:
            accepted["thingName"] = thing_name
        return accepted

    # Hooks

    def template_body(self, name: str) -> str | None:
        """The body of a template's default version; None when there is no such template."""
        template = self._templates.find(name)
        return None if template is None else template.body

    def take_hook_calls(self) -> list[HookCall]:
        """The calls to be run outside that were not taken before."""
        calls = list(self._calls)
        self._calls.clear()
        return calls

    def finish_hook(self, call_id: str, answer: Any, now_s: float) -> Sequence[Answer]:
        """Go on with a request whose hook has answered.

        Args:
            call_id: Of the call. One that is finished or was too late is ignored.
            answer: The decoded answer, or an exception when the hook failed.
            now_s: The time now.
        """
        pending = self._pending.pop(call_id, None)
        if pending is None:
            return ()
        self._hook_ends.cancel(call_id)
        try:
            accepted = self._hooked(pending, answer)
        except ProvisioningRefusal as refusal:
            return [pending.asker.rejected(refusal, now_s)]
        return [pending.asker.answer("accepted", accepted, now_s)]

    def _wait_for_hook(
        self, target_arn: str, event: dict[str, Any], pending: Pending, now_s: float
    ) -> None:
        if len(self._pending) >= HOOK_CALLS_MAX:
            raise hook_failed()
        call = HookCall(self._new_id(), target_arn, event, now_s + self._hook_timeout_s)
        self._pending[call.call_id] = pending
        self._hook_ends.set(call.call_id, call.deadline_s)
        self._calls.append(call)
        self.hook_waits()

    def _hooked(self, pending: Pending, answer: Any) -> dict[str, Any]:
        if isinstance(answer, BaseException):
            raise hook_failed()
        overrides = read_overrides(answer)
        # The template may have changed while the hook ran.
        template = self._usable(pending.template_name)
        parameters = pending.parameters | overrides
        return self._provision(template, pending.certificate_id, parameters)

    # Time

    def advance(self, now_s: float, /) -> Sequence[Answer]:
        """Refuse requests whose hook is late; delete unused certificates and claims."""
        answers = []
        for call_id in self._hook_ends.due(now_s):
            pending = self._pending.pop(call_id)
            answers.append(pending.asker.rejected(hook_failed(), now_s))
        if answers:
            waiting = self._pending
            self._calls = deque(call for call in self._calls if call.call_id in waiting)
        for token in self._token_ends.due(now_s):
            self._expire(self._tokens.pop(token))
        self._claims.advance(now_s)
        return answers

    @property
    def next_deadline_s(self) -> float | None:
        """When the next token, claim or hook call ends."""
        times = (
            self._hook_ends.next_s(),
            self._token_ends.next_s(),
            self._claims.next_deadline_s,
        )
        return min((time for time in times if time is not None), default=None)

    def _expire(self, owned: _Token) -> None:
        """Delete the certificate of a token unless it is in use."""
        certificate = self._registry.certificate(owned.certificate_id)
        if (
            certificate is not None
            and certificate.status is CertificateStatus.PENDING_ACTIVATION
            and not certificate.policies
            and not certificate.things
        ):
            self._registry.delete_certificate(owned.certificate_id)

    # The API

    def create_provisioning_template(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """CreateProvisioningTemplate.

        Raises:
            ServiceFailure: As `TemplateCatalogue.create` says.
        """
        return self._templates.create(request, now_s), []

    def describe_provisioning_template(self, request: Request) -> tuple[Result, list[Answer]]:
        """DescribeProvisioningTemplate.

        Raises:
            ServiceFailure: As `TemplateCatalogue.describe` says.
        """
        return self._templates.describe(request), []

    def list_provisioning_templates(self, request: Request) -> tuple[Result, list[Answer]]:
        """ListProvisioningTemplates.

        Raises:
            ServiceFailure: As `TemplateCatalogue.list_all` says.
        """
        return self._templates.list_all(request), []

    def update_provisioning_template(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """UpdateProvisioningTemplate.

        Raises:
            ServiceFailure: As `TemplateCatalogue.update` says.
        """
        return self._templates.update(request, now_s), []

    def delete_provisioning_template(self, request: Request) -> tuple[Result, list[Answer]]:
        """DeleteProvisioningTemplate.

        Raises:
            ServiceFailure: As `TemplateCatalogue.delete` says.
        """
        return self._templates.delete(request), []

    def create_provisioning_template_version(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """CreateProvisioningTemplateVersion.

        Raises:
            ServiceFailure: As `TemplateCatalogue.create_version` says.
        """
        return self._templates.create_version(request, now_s), []

    def describe_provisioning_template_version(
        self, request: Request
    ) -> tuple[Result, list[Answer]]:
        """DescribeProvisioningTemplateVersion.

        Raises:
            ServiceFailure: As `TemplateCatalogue.describe_version` says.
        """
        return self._templates.describe_version(request), []

    def list_provisioning_template_versions(self, request: Request) -> tuple[Result, list[Answer]]:
        """ListProvisioningTemplateVersions.

        Raises:
            ServiceFailure: As `TemplateCatalogue.list_versions` says.
        """
        return self._templates.list_versions(request), []

    def delete_provisioning_template_version(self, request: Request) -> tuple[Result, list[Answer]]:
        """DeleteProvisioningTemplateVersion.

        Raises:
            ServiceFailure: As `TemplateCatalogue.delete_version` says.
        """
        return self._templates.delete_version(request), []

    def create_provisioning_claim(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """CreateProvisioningClaim: a certificate that may provision with one template, for 5 min.

        It is registered as ACTIVE with a policy for nothing but the topics of provisioning, and
        deleted when its time is over.

        Raises:
            ServiceFailure: InvalidRequestException, ResourceNotFoundException, or
                ThrottlingException when 10,000 claims are valid.
        """
        template = self._templates.known(Members(request, INVALID))
        return self._claims.create(template.name, now_s), []

    def status(self) -> dict[str, Any]:
        """Templates, certificates that wait for RegisterThing, hooks that have not answered."""
        return {
            "templates": len(self._templates),
            "certificates_waiting": len(self._tokens),
            "hooks_running": len(self._pending),
        }

    # Keeping

    def dump(self) -> dict[str, Any]:
        """Templates, ownership tokens, claims and groups.

        Requests that wait for a hook are not kept: their devices are not connected any more.
        """
        return {
            "templates": self._templates.dump(),
            "tokens": msgspec.to_builtins(list(self._tokens.values())),
            "claims": self._claims.dump(),
        }

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave. The registry is kept elsewhere.

        Raises:
            ValueError: The document is damaged.
        """
        saved = restored(document, _Saved, "provisioning")
        self._templates.load(saved.templates)
        self._tokens = {entry.token: entry for entry in saved.tokens}
        self._claims.load(saved.claims)
        self._token_ends = Deadlines()
        for token in saved.tokens:
            self._token_ends.set(token.token, token.expires_unix_s - self._unix_s_at_zero)

    def _template_arn(self, name: str) -> str:
        return f"{self._arn_prefix}provisioningtemplate/{name}"


def _read(payload: bytes, payload_format: Format) -> dict[str, Any]:
    try:
        return read_object(payload, payload_format)
    except PayloadError as error:
        raise ProvisioningRefusal("InvalidPayload", "Message cannot be parsed") from error


def _invalid_token() -> ProvisioningRefusal:
    return ProvisioningRefusal(
        "InvalidCertificateOwnershipToken", "Certificate ownership token is invalid."
    )
