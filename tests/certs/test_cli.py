"""Tests of `certs.cli`: the command line as a user meets it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from certs.authority import create_authority, mint_device, new_private_key
from certs.cli import main
from certs.pem import certificate_pem, private_key_pem
from certs.store import Store

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Command(Protocol):
    """Runs `morai-certs` with arguments."""

    def __call__(self, *arguments: str) -> Result:
        """Run the command to its end."""


@pytest.fixture
def certs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """`morai-certs` in an empty folder, not on a terminal."""
    for variable in ("MORAI_CERTS_STORE", "MORAI_EDGE_TRACEBACK", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["morai-certs", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def fleet(certs: Command) -> Command:
    """The same with a CA and the things `car-1` and `car-2`."""
    assert certs("init").code == 0
    assert certs("issue", "car-1", "car-2").code == 0
    return certs


def test_from_nothing_to_a_checked_fleet(certs: Command, tmp_path: Path) -> None:
    """Init, issue, server and check work one after the other with nothing to configure."""
    assert certs("init").out.splitlines()[-1] == "next: morai-certs issue car-1"
    assert certs("issue", "car-1", "--count", "2").code == 0
    assert (
        certs("server", "broker.lab")
        .out.rstrip()
        .endswith("for broker.lab, localhost, 127.0.0.1, ::1")
    )
    checked = certs("check")

    assert checked.code == 0
    assert checked.out.splitlines() == [
        "ok  (CA)",
        "ok  (server)",
        "ok  car-0001",
        "ok  car-1",
        "ok  car-0002",
        "5 checked, 0 failed",
    ]
    assert Store(tmp_path / "identities").things() == ["car-0001", "car-1", "car-0002"]


def test_issue_reports_in_json(fleet: Command) -> None:
    """With `--json`, issuing prints what was made and nothing else."""
    result = fleet("issue", "a:b", "--days", "9", "--json")
    (made,) = result.json()

    assert result.err == ""
    assert made["thing"] == "a:b"
    assert made["key_path"].endswith("key.pem")
    assert made["certificate_id"] == Store("identities").identity("a:b").certificate_id()
    assert made["days_left"] == 8  # 9 days less the moment that has passed since


def test_a_series_can_be_completed(fleet: Command) -> None:
    """A longer series fills up with `--skip-existing` and keeps the keys that are there."""
    fleet("issue", "--count", "3", "--prefix", "bus-")
    first = Store("identities").identity("bus-0001").certificate_id()
    refused = fleet("issue", "--count", "25", "--prefix", "bus-")
    completed = fleet("issue", "--count", "25", "--prefix", "bus-", "--skip-existing")
    nothing = fleet("issue", "--count", "25", "--prefix", "bus-", "--skip-existing", "--json")

    assert refused.code == 2
    assert "3 of 25 things exist already" in refused.err
    assert completed.code == 0
    assert "issued 22 things, bus-0004 to bus-0025" in completed.out
    assert "left 3 alone that exist" in completed.out
    assert (nothing.code, nothing.json()) == (0, [])
    assert Store("identities").identity("bus-0001").certificate_id() == first


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["issue"], "no thing is named"),
        (["issue", "a", "a"], "given more than once"),
        (["issue", "car-0001", "--count", "1"], "given more than once"),
        (["issue", "../../etc/passwd"], "contains '.'"),
        (["issue", "--count", "1", "--prefix", "a/"], "contains '/'"),
        (["issue", "car-1"], "'car-1' exists already"),
        (["issue", "--count", "0"], "--count"),
        (["issue", "x", "--days", "0"], "--days"),
        (["issue", "x", "--days", "many"], "--days"),
        (["init"], "a CA exists already"),
        (["init", "--name", "", "--force"], "CA name"),
        (["server", "http://broker"], "neither a DNS name"),
        (["inspect", "nothing"], "neither a thing"),
        (["inspect", "identities"], "is a folder"),
        (["check", "car-9"], "no thing 'car-9'"),
        (["check", "car-1", "car-1"], "given more than once"),
        (["check", "--store", "elsewhere"], "no folder of identities"),
        (["list", "--store", "elsewhere"], "no folder of identities"),
        (["list", "--store", "identities/ca/ca.pem"], "is not a folder"),
        (["issue", "x", "--store", "elsewhere"], "no CA in elsewhere"),
        (["import", "x", "--cert", "none", "--key", "none"], "none does not exist"),
        (["frobnicate"], "frobnicate"),
        (["list", "--frobnicate"], "--frobnicate"),
    ],
)
def test_mistakes_end_with_code_2_and_change_nothing(
    fleet: Command, tmp_path: Path, arguments: list[str], text: str
) -> None:
    """Every mistake in usage is told on standard error, without a traceback or any effect."""
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    result = fleet(*arguments)

    assert result.code == 2
    assert text in result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    assert before == {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()
    }


def test_a_folder_that_cannot_be_made_ends_with_code_3(certs: Command, tmp_path: Path) -> None:
    """A file in the way of the store is the machine's matter."""
    (tmp_path / "file").write_text("x")
    result = certs("init", "--store", "file/store")

    assert result.code == 3
    assert result.err.startswith("storage: ")


def test_the_store_is_named_by_option_or_environment(
    certs: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The option wins over the environment, and the environment over the default."""
    monkeypatch.setenv("MORAI_CERTS_STORE", "from-environment")
    certs("init")
    certs("init", "--store", "from-option")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["from-environment", "from-option"]


def test_list_is_whole_in_a_pipe_and_has_every_fact_in_json(fleet: Command) -> None:
    """A pipe gets one line a thing with the whole id; JSON has the same ids."""
    ids = [Store("identities").identity(name).certificate_id() for name in ("car-1", "car-2")]
    lines = fleet("list").out.splitlines()

    assert lines[0].split() == [
        *("thing", "valid", "until", "days", "key", "issued", "by", "certificate", "id")
    ]
    assert [line.split()[-1] for line in lines[1:]] == ids
    assert [thing["certificate_id"] for thing in fleet("list", "--json").json()] == ids


def test_list_shows_damaged_things(fleet: Command) -> None:
    """A thing that cannot be read does not hide the others."""
    Store("identities").identity("car-1").certificate_path.write_bytes(b"")
    result = fleet("list")
    as_json = fleet("list", "--json").json()

    assert result.code == 0
    assert "unreadable: see check" in result.out.splitlines()[1]
    assert as_json[0]["error"].endswith("cert.pem is empty")
    assert as_json[1]["subject"] == "CN=car-2"


def test_list_of_an_empty_store_says_how_to_begin(certs: Command) -> None:
    """Without things, the list is empty for machines and a hint for people."""
    certs("init")

    assert certs("list", "--json").json() == []
    assert "morai-certs issue car-1" in certs("list").err


def test_inspect_a_thing(fleet: Command) -> None:
    """A thing's certificate is shown fact by fact, and the same in JSON."""
    shown = dict(
        line.split("  ", 1) for line in fleet("inspect", "car-1").out.splitlines() if "  " in line
    )
    (facts,) = fleet("inspect", "car-1", "--json").json()

    assert shown["subject"].strip() == "CN=car-1"
    assert shown["certificate id"].strip() == facts["certificate_id"]
    assert facts["purposes"] == ["clientAuth"]
    assert facts["key_type"] == "ECDSA P-256"


def test_inspect_files_of_every_kind(fleet: Command) -> None:
    """A CA, a request and a key are told apart, and the key itself is never printed."""
    folder = "identities/things/car-1"
    key = fleet("inspect", f"{folder}/key.pem")

    assert fleet("inspect", "identities/ca/ca.pem", "--json").json()[0]["is_authority"]
    assert fleet("inspect", f"{folder}/csr.pem", "--json").json() == [
        {
            "kind": "certificate request",
            "subject": "CN=car-1",
            "key": "ECDSA P-256",
            "signature": "valid",
        }
    ]
    assert key.out.splitlines() == [f"{folder}/key.pem", "kind  private key", "key   ECDSA P-256"]


def test_inspect_reads_standard_input(fleet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle through a pipe shows each certificate; an empty pipe is refused."""
    store = Store("identities")
    data = store.identity("car-1").certificate_path.read_bytes()
    data += store.ca_certificate_path.read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    both = fleet("inspect", "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    empty = fleet("inspect", "-")

    assert "standard input (1 of 2)" in both.out
    assert "standard input (2 of 2)" in both.out
    assert (empty.code, "standard input is empty" in empty.err) == (2, True)


def test_inspect_shows_hostile_names_harmlessly(
    certs: Command, tmp_path: Path, now: datetime
) -> None:
    """A subject with escape sequences and line breaks is printed as text on its own line."""
    ca = create_authority("CA", now)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1b[2J\nissuer  CN=Good")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca.certificate.subject)
        .public_key(ca.certificate.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now)
        .sign(ca.private_key, hashes.SHA256())
    )
    (tmp_path / "x.pem").write_bytes(certificate_pem(certificate))
    result = certs("inspect", "x.pem")

    assert "\x1b" not in result.out
    assert [line for line in result.out.splitlines() if line.startswith("issuer")] == [
        "issuer          CN=CA"
    ]


def test_a_failed_check_ends_with_code_1_and_says_what_to_do(fleet: Command) -> None:
    """Only what failed is listed, with its remedy; the others are one line each."""
    Store("identities").identity("car-2").key_path.unlink()
    result = fleet("check")
    as_json = fleet("check", "--json")

    assert result.code == as_json.code == 1
    assert "FAILED  car-2" in result.out
    assert "morai-certs issue car-2 --force" in result.out
    assert result.out.splitlines()[-1] == "3 checked, 1 failed"
    assert as_json.json()["ok"] is False
    assert [
        (finding["identity"], finding["check"])
        for finding in as_json.json()["findings"]
        if finding["verdict"] == "failed"
    ] == [("car-2", "key")]


def test_named_things_are_checked_alone(fleet: Command) -> None:
    """A failure of one thing is none of another's."""
    Store("identities").identity("car-2").key_path.unlink()

    assert fleet("check", "car-1").code == 0
    assert fleet("check", "car-2").code == 1


def test_verbose_lists_every_check(fleet: Command) -> None:
    """`--verbose` shows what was checked, also when all is well."""
    lines = fleet("check", "car-1", "--verbose").out.splitlines()

    assert [line.split()[0] for line in lines[1:-1]] == [
        "validity",
        "chain",
        "purpose",
        "strength",
        "key",
        "permissions",
        "thing",
    ]


def test_a_large_sound_fleet_is_one_line(fleet: Command) -> None:
    """Beyond fifty sound identities, only their number is printed beside what failed."""
    fleet("issue", "--count", "60")
    Store("identities").identity("car-0007").key_path.unlink()
    lines = fleet("check").out.splitlines()

    assert lines[0] == "FAILED  car-0007"
    assert lines[-2:] == ["ok      62 identities", "63 checked, 1 failed"]


def test_an_empty_folder_holds_nothing_to_check(certs: Command, tmp_path: Path) -> None:
    """A check of nothing is a mistake, not a success."""
    (tmp_path / "identities").mkdir()
    result = certs("check")

    assert result.code == 2
    assert "holds no identities" in result.err


def test_a_new_ca_warns_of_orphans(fleet: Command) -> None:
    """Replacing the CA tells that older certificates are void, and check agrees."""
    replaced = fleet("init", "--force")
    checked = fleet("check")

    assert replaced.code == 0
    assert "2 certificates of the former CA" in replaced.err
    assert checked.code == 1
    assert checked.out.count("another CA of that name signed it") == 2


def test_validity_cut_by_the_ca_is_told(certs: Command) -> None:
    """Who asks for more days than the CA has left is told what they got."""
    certs("init", "--days", "10")

    assert "validity ends with the CA's" in certs("issue", "car-1", "--days", "20").err
    assert "validity ends with the CA's" in certs("server", "--days", "20").err
    assert certs("issue", "car-2", "--days", "10").err == ""


def test_import_of_an_aws_certificate(certs: Command, tmp_path: Path, now: datetime) -> None:
    """A certificate as AWS IoT Core makes it is taken in with a root and passes the check."""
    key, aws_key = new_private_key(), new_private_key()
    unit = "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US"
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now.replace(year=2049, month=12, day=31))
        .sign(aws_key, hashes.SHA256())
    )
    (tmp_path / "c.pem.crt").write_bytes(certificate_pem(certificate))
    (tmp_path / "k.pem.key").write_bytes(private_key_pem(key))
    (tmp_path / "k.pem.key").chmod(0o644)
    (tmp_path / "AmazonRootCA1.pem").write_bytes(create_authority("R", now).certificate_pem)
    pair = ("--cert", "c.pem.crt", "--key", "k.pem.key")
    without_root = certs("import", "car-1", *pair)
    again = certs("import", "car-1", *pair)
    with_root = certs("import", "car-1", *pair, "--root", "AmazonRootCA1.pem", "--force")
    checked = certs("check")

    assert without_root.code == 0
    assert "no root in" in without_root.err
    assert again.code == 2
    assert with_root.code == 0
    assert "no root in" not in with_root.err
    if sys.platform != "win32":
        assert "others can read the original key k.pem.key" in with_root.err
    assert (checked.code, checked.out.split()[0]) == (0, "note")
    assert certs("list", "--json").json()[0]["ca_path"].endswith("AmazonRootCA1.pem")


def test_import_with_a_bad_root_imports_nothing(
    certs: Command, tmp_path: Path, now: datetime
) -> None:
    """All files are read before any is stored."""
    made = mint_device("x", create_authority("CA", now), now)
    (tmp_path / "c").write_bytes(made.certificate_pem)
    (tmp_path / "k").write_bytes(made.private_key_pem)
    (tmp_path / "r").write_bytes(b"no root")

    assert certs("import", "car-1", "--cert", "c", "--key", "k", "--root", "r").code == 2
    assert not (tmp_path / "identities").exists()


@pytest.mark.parametrize(
    "command", ["init", "issue", "server", "import", "list", "inspect", "check"]
)
def test_every_command_has_help_with_an_example(certs: Command, command: str) -> None:
    """`--help` explains each command and shows how it is typed."""
    result = certs(command, "--help")

    assert result.code == 0
    assert f"morai-certs {command}" in result.out.split("Example", 1)[1]


def test_runs_as_a_module() -> None:
    """`python -m certs` is the same command under the same name."""
    done = subprocess.run(
        [sys.executable, "-m", "certs", "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0
    assert "Usage: morai-certs" in done.stdout


def test_things_are_completed_in_the_shell(
    fleet: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pressing tab after `check car` offers the things of the store."""
    monkeypatch.setenv("_MORAI_CERTS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "morai-certs check car")
    monkeypatch.setenv("COMP_CWORD", "2")
    result = fleet()

    assert result.out.split() == ["car-1", "car-2"]
    assert capsys.readouterr().err == ""
