"""The command line `morai-certs`: identities made, taken in, listed, inspected and checked.

Owns the commands and their options. What they do lives in `certs.store` and `certs.audit`, how it
looks in `certs.report`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from certs import audit, report
from certs.authority import AUTHORITY_DAYS, AUTHORITY_NAME, DEVICE_DAYS, SERVER_DAYS
from certs.disk import read_public
from certs.errors import EXIT_CHECK_FAILED, ConfigurationError, EdgeError
from certs.inspection import WARNING_DAYS, CertificateFacts, Verdict, certificate_facts, key_type
from certs.naming import MAX_SERIES_LENGTH, check_distinct, numbered_names
from certs.pem import (
    block_labels,
    load_certificates,
    load_private_key,
    load_request,
)
from certs.permissions import MAX_PEM_BYTES, exposure, restrict_command
from certs.store import DEFAULT_ROOT, STORE_VARIABLE, Store
from certs.terminal import console, error_console, printable, run_app

if TYPE_CHECKING:
    from certs.inspection import Finding
    from certs.store import Identity

MAX_DAYS = 36_500
_MAX_ISSUED_SHOWN = 20

app = typer.Typer(
    name="morai-certs",
    help="X.509 identities of vehicles: a development CA, device certificates, and their checks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: morai-certs init, then: morai-certs issue car-1",
)


def main() -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    run_app(app, "morai-certs")


def _complete_thing(context: typer.Context, incomplete: str) -> list[str]:
    try:
        names = Store(context.params.get("store") or DEFAULT_ROOT).things()
    except EdgeError:
        return []
    return [name for name in names if name.startswith(incomplete)]


StoreOption = Annotated[
    Path,
    typer.Option(
        "--store", metavar="FOLDER", envvar=STORE_VARIABLE, help="The folder of identities."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
DaysOption = Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="Validity in days.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace what exists, the private key included.")
]
ThingsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="THING", help="Thing names.", autocompletion=_complete_thing),
]


@app.command()
def init(
    name: Annotated[str, typer.Option(help="Common name of the CA.")] = AUTHORITY_NAME,
    days: DaysOption = AUTHORITY_DAYS,
    force: ForceOption = False,
    store: StoreOption = DEFAULT_ROOT,
) -> None:
    """Make a development CA (ECDSA P-256) and the folder of identities.

    The CA is for tests and for the stand-in of AWS IoT Core on this machine.
    AWS IoT Core accepts its certificates once the CA is registered there.

    \b
    Examples:
      morai-certs init
      morai-certs init --store /tmp/fleet --days 30
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    identities = Store(store)
    made = identities.init_authority(name, now=_now(), days=days, force=force)
    end = made.certificate.not_valid_after_utc
    _say(f"made the CA {identities.ca_certificate_path}, valid until {end:%Y-%m-%d}")
    orphans = len(identities.things()) + identities.has_server()
    if orphans:
        _warn(
            f"{orphans:,} certificates of the former CA are not valid any more",
            f"see {identities.command('check')}, and issue them again with --force",
        )
    else:
        _say(f"next: {identities.command('issue car-1')}")


@app.command()
def issue(
    things: ThingsArgument = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_SERIES_LENGTH, help="Issue a numbered series of this length."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="What the names of the series begin with.")] = "car-",
    start: Annotated[int, typer.Option(min=0, help="The first number of the series.")] = 1,
    days: DaysOption = DEVICE_DAYS,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave things alone that exist.")
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_ROOT,
) -> None:
    """Issue device certificates: for each thing a key, a request and a certificate.

    Names follow AWS IoT Core: 1 to 128 of the characters A-Z a-z 0-9 : _ -

    \b
    Examples:
      morai-certs issue car-1 car-2
      morai-certs issue --count 1000 --prefix car-      # car-0001 to car-1000
      morai-certs issue --count 1000 --skip-existing    # only those still missing
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    series = [] if count is None else numbered_names(prefix, count, start)
    names = check_distinct([*(things or []), *series])
    if not names:
        raise ConfigurationError(
            "no thing is named", "name things, or ask for a series with --count and --prefix"
        )
    identities = Store(store)
    wanted = len(names)
    if skip_existing:
        existing = set(identities.things())
        names = [name for name in names if name not in existing]
    work = identities.issue_things(names, now=_now(), days=days, force=force) if names else ()
    issued: list[Identity] = []
    try:
        with _progress() as progress:
            bar = progress.add_task("issuing", total=len(names))
            for identity in work:
                issued.append(identity)
                progress.advance(bar)
    except KeyboardInterrupt:
        _warn(
            f"interrupted after {len(issued):,} of {len(names):,} things; these are complete",
            "run it again with --skip-existing",
        )
        raise
    _report_issued(identities, issued, skipped=wanted - len(names), as_json=as_json)
    if issued:
        _note_shortened(issued[0], days)


@app.command()
def server(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="HOST", help="More DNS names and IP addresses."),
    ] = None,
    days: DaysOption = SERVER_DAYS,
    force: ForceOption = False,
    store: StoreOption = DEFAULT_ROOT,
) -> None:
    """Issue the server certificate of the AWS IoT Core stand-in.

    It is valid for localhost, 127.0.0.1 and ::1, and for every host named here.

    \b
    Examples:
      morai-certs server
      morai-certs server broker.lab 192.168.0.10 --force
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    identity = Store(store).issue_server(hosts or (), now=_now(), days=days, force=force)
    facts = certificate_facts(identity.certificate(), _now())
    names = ", ".join(name.split(":", 1)[1] for name in facts.alternative_names)
    _say(f"issued {identity.certificate_path}, valid until {facts.not_after:%Y-%m-%d}, for {names}")
    _note_shortened(identity, days)


@app.command(name="import")
def import_(
    thing: Annotated[str, typer.Argument(help="The thing the certificate belongs to.")],
    cert: Annotated[Path, typer.Option(metavar="FILE", help="The certificate, PEM or DER.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Its private key, PEM.")],
    root: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A root of the server, such as AmazonRootCA1.pem."),
    ] = None,
    force: ForceOption = False,
    store: StoreOption = DEFAULT_ROOT,
) -> None:
    """Take in a certificate made elsewhere, such as by AWS IoT Core.

    \b
    Example:
      morai-certs import car-1 --cert 8a2f-certificate.pem.crt \\
          --key 8a2f-private.pem.key --root AmazonRootCA1.pem
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    identities = Store(store)
    roots = {path: read_public(path) for path in root or ()}
    for path, data in roots.items():
        load_certificates(data, str(path))
    private_key = read_public(key)
    load_certificates(certificate := read_public(cert), str(cert))
    load_private_key(private_key, str(key))
    identity = identities.import_thing(thing, certificate, private_key, force=force)
    for path, data in roots.items():
        identities.add_root(path.name, data, force=force)
    _say(f"imported {identity.certificate_path}, certificate id {identity.certificate_id()}")
    readers = exposure(key)
    if readers is not None:
        _warn(
            f"others can read the original key {key} ({readers})",
            f"delete it, or {restrict_command(key)}",
        )
    if not identities.roots():
        _warn(
            f"there is no root in {identities.roots_folder} to verify the server with",
            "import again with --root AmazonRootCA1.pem --force "
            "(from https://www.amazontrust.com/repository/)",
        )
    trusted, _ = audit.trusted_roots(identities)
    findings = audit.audit_thing(identities, thing, trusted, _now())
    if any(finding.verdict is not Verdict.OK for finding in findings):
        report.print_findings({thing: findings}, every=False)


@app.command(name="list")
def list_(as_json: JsonOption = False, store: StoreOption = DEFAULT_ROOT) -> None:
    """List the things of the store.

    \b
    Examples:
      morai-certs list
      morai-certs list --json | jq -r '.[].certificate_id'
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    identities = _existing(store)
    now = _now()
    things: dict[str, CertificateFacts | EdgeError] = {}
    for name in identities.things():
        try:
            things[name] = certificate_facts(identities.identity(name).certificate(), now)
        except EdgeError as error:
            things[name] = error
    if as_json:
        report.print_json([_listed(identities, name, facts) for name, facts in things.items()])
    elif things:
        report.print_things(things)
    else:
        _warn(
            f"there are no things in {identities.root}",
            f"issue one: {identities.command('issue car-1')}",
        )


@app.command()
def inspect(
    target: Annotated[
        str,
        typer.Argument(
            metavar="THING|FILE",
            help="A thing of the store, a PEM or DER file, or - for standard input.",
            autocompletion=_complete_thing,
        ),
    ],
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_ROOT,
) -> None:
    """Show what a certificate says.

    Also requests, bundles with several certificates, and the kind of a private key (never the key).

    \b
    Examples:
      morai-certs inspect car-1
      morai-certs inspect AmazonRootCA1.pem --json
      openssl s_client -connect HOST:8883 </dev/null | morai-certs inspect -
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    source, data = _target(Store(store), target)
    labels = block_labels(data)
    if "CERTIFICATE" not in labels and any(label.endswith("PRIVATE KEY") for label in labels):
        key = load_private_key(data, source)
        _show_rows(source, {"kind": "private key", "key": key_type(key.public_key())}, as_json)
    elif "CERTIFICATE" not in labels and any(
        label.endswith("CERTIFICATE REQUEST") for label in labels
    ):
        request = load_request(data, source)
        rows = {
            "kind": "certificate request",
            "subject": request.subject.rfc4514_string(),
            "key": key_type(request.public_key()),
            "signature": "valid" if request.is_signature_valid else "NOT valid",
        }
        _show_rows(source, rows, as_json)
    else:
        now = _now()
        found = [certificate_facts(each, now) for each in load_certificates(data, source)]
        if as_json:
            report.print_json([report.facts_as_json(facts) for facts in found])
            return
        for number, facts in enumerate(found, start=1):
            title = source if len(found) == 1 else f"{source} ({number} of {len(found)})"
            report.print_facts(title, facts)


@app.command()
def check(
    things: ThingsArgument = None,
    warn_days: Annotated[
        int, typer.Option(min=0, max=MAX_DAYS, help="Note certificates that end sooner than this.")
    ] = WARNING_DAYS,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show every check that is ok.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_ROOT,
) -> None:
    """Check things: validity, chain, purpose, strength, key, permissions, name.

    Without names: all things, the CA, the server certificate and the roots.
    The exit code is 1 when a check failed.

    \b
    Examples:
      morai-certs check
      morai-certs check car-1 --verbose
      morai-certs check --warn-days 90 --json
    """  # noqa: D301 - \b is typer's mark for lines that must not be joined
    identities = _existing(store)
    findings = _audit(identities, things, warn_days)
    failed = sum(
        any(finding.verdict is Verdict.FAILED for finding in each) for each in findings.values()
    )
    if as_json:
        report.print_json(
            {
                "ok": not failed,
                "checked": len(findings),
                "failed": failed,
                "findings": report.findings_as_json(findings),
            }
        )
    else:
        report.print_findings(findings, every=verbose)
        _say(f"{len(findings):,} checked, {failed:,} failed")
    if failed:
        raise typer.Exit(EXIT_CHECK_FAILED)


def _audit(identities: Store, things: list[str] | None, warn_days: int) -> dict[str, list[Finding]]:
    now = _now()
    names = check_distinct(things) if things else identities.things()
    for name in names:
        identities.identity(name)
    roots, root_failures = audit.trusted_roots(identities)
    findings: dict[str, list[Finding]] = {}
    if not things:
        if identities.has_authority():
            findings["(CA)"] = audit.audit_authority(identities, now, warn_days)
        if identities.has_server():
            findings["(server)"] = audit.audit_server(identities, roots, now, warn_days)
    if root_failures:
        findings["(roots)"] = root_failures
    with _progress() as progress:
        for name in progress.track(names, description="checking"):
            findings[name] = audit.audit_thing(identities, name, roots, now, warn_days)
    if not findings:
        raise ConfigurationError(
            f"{identities.root} holds no identities", f"make a CA: {identities.command('init')}"
        )
    return findings


def _report_issued(
    identities: Store, issued: list[Identity], *, skipped: int, as_json: bool
) -> None:
    now = _now()
    shown = issued if as_json or len(issued) <= _MAX_ISSUED_SHOWN else issued[:1]
    facts = {each.name: certificate_facts(each.certificate(), now) for each in shown}
    if as_json:
        report.print_json([_listed(identities, name, each) for name, each in facts.items()])
        return
    if len(issued) > _MAX_ISSUED_SHOWN:
        end = facts[issued[0].name].not_after
        _say(
            f"issued {len(issued):,} things, {issued[0].name} to {issued[-1].name}, "
            f"valid until {end:%Y-%m-%d}, in {identities.things_folder}"
        )
    elif issued:
        report.print_things(facts)
        _say(f"issued in {identities.things_folder}")
    if skipped:
        _say(f"left {skipped:,} alone that exist")


def _note_shortened(identity: Identity, days: int) -> None:
    end = identity.certificate().not_valid_after_utc
    if end < _now() + timedelta(days=days - 1):
        _warn(
            f"validity ends with the CA's on {end:%Y-%m-%d}, sooner than after {days:,} days",
            "make a CA that lasts longer if this matters: morai-certs init --days",
        )


def _listed(identities: Store, name: str, facts: CertificateFacts | EdgeError) -> dict[str, Any]:
    identity = identities.identity(name)
    paths = {
        "thing": name,
        "certificate_path": str(identity.certificate_path),
        "key_path": str(identity.key_path),
        "ca_path": str(identity.ca_path),
    }
    if isinstance(facts, EdgeError):
        return {**paths, "error": facts.what, "remedy": facts.remedy}
    return {**report.facts_as_json(facts), **paths}


def _target(identities: Store, target: str) -> tuple[str, bytes]:
    if target == "-":
        data = sys.stdin.buffer.read(MAX_PEM_BYTES + 1)
        if not data:
            raise ConfigurationError("standard input is empty", "pipe a certificate into it")
        return "standard input", data
    path = Path(target).expanduser()
    if target in identities.things():
        path = identities.identity(target).certificate_path
    elif not path.exists():
        raise ConfigurationError(
            f"{target} is neither a thing in {identities.root} nor a file",
            f"see {identities.command('list')}, or check the path",
        )
    return str(path), read_public(path)


def _show_rows(source: str, rows: dict[str, str], as_json: bool) -> None:
    if as_json:
        report.print_json([rows])
    else:
        report.print_rows(source, list(rows.items()))


def _existing(root: Path) -> Store:
    identities = Store(root)
    if identities.root.exists() and not identities.root.is_dir():
        raise ConfigurationError(
            f"{identities.root} is not a folder of identities",
            f"name a folder with --store or {STORE_VARIABLE}",
        )
    if not identities.root.exists():
        raise ConfigurationError(
            f"there is no folder of identities at {identities.root}",
            f"make one: {identities.command('init')}, "
            f"or name another with --store or {STORE_VARIABLE}",
        )
    return identities


def _progress() -> Progress:
    err = error_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _say(text: str) -> None:
    console().print(Text(printable(text)), soft_wrap=True)


def _warn(what: str, remedy: str) -> None:
    err = error_console()
    err.print(Text.assemble(("note: ", "bold yellow"), printable(what)), soft_wrap=True)
    err.print(Text.assemble(("  do: ", "bold"), printable(remedy)), soft_wrap=True)
