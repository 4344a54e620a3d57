"""Doctor judges by purpose, names the command that mends, and looks at the machine."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ksm_storage.cli.main import main
from ksm_storage.contract.abilities import Need, PermissionProbe
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.doctor.finding import KeyFinding, lines_of_key
from ksm_storage.doctor.remedies import remedy
from ksm_storage.doctor.surroundings import (
    clock_notes,
    network_in_force,
    network_notes,
    network_variables,
    proxy_notes,
    version_notes,
)
from ksm_storage.testing.distributions import write_distribution
from tests.doctor.conftest import Findings, Patient

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"


@pytest.mark.parametrize(
    ("granted", "purpose", "code"),
    [
        ({"open"}, "open", 0),
        ({"open"}, "seal", 4),
        ({"open"}, "describe", 4),
        ({"seal", "describe"}, "open", 4),
        ({"seal", "describe"}, "seal", 4),
        ({"open", "seal"}, "seal", 0),
        ({"describe"}, "describe", 0),
    ],
)
def test_a_missing_permission_counts_if_the_purpose_needs_it(
    granted: set[str], purpose: Need, code: int
) -> None:
    needs: tuple[Need, ...] = ("open", "seal", "describe")
    probes = tuple(PermissionProbe(f"kms:{need}", need, need in granted) for need in needs)

    found = KeyFinding(f"aws-kms://{ARN}", probes=probes, purpose=purpose)

    assert found.exit_code == code
    assert ("MISSING" in "\n".join(lines_of_key(found))) == bool(code)


@pytest.mark.parametrize(
    ("uri", "state", "command"),
    [
        (
            f"aws-kms://{ARN}",
            "disabled",
            f"aws kms enable-key --key-id {ARN} --region eu-west-1",
        ),
        (
            "aws-kms://alias/app",
            "pending-deletion",
            "aws kms cancel-key-deletion --key-id alias/app"
            " && aws kms enable-key --key-id alias/app",
        ),
        (
            "azure-kv://https://v.vault.azure.net/keys/app/0123",
            "disabled",
            "az keyvault key set-attributes --id https://v.vault.azure.net/keys/app/0123"
            " --enabled true",
        ),
        (
            "azure-kv://https://v.vault.azure.net/keys/app/0123",
            "pending-deletion",
            "az keyvault key recover --id https://v.vault.azure.net/deletedkeys/app",
        ),
        (
            "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/3",
            "disabled",
            "gcloud kms keys versions enable 3 --key k --keyring r --location l --project p",
        ),
        (
            "oracle-kv://ocid1.key.oc1.a/ocid1.keyversion.oc1.b",
            "pending-deletion",
            "oci kms management key cancel-deletion --key-id ocid1.key.oc1.a"
            " --endpoint MANAGEMENT-ENDPOINT",
        ),
        ("aws-kms://alias/app", "destroyed", None),
        ("key-file:///k", "disabled", None),
    ],
)
def test_the_command_that_mends_a_state_names_the_key(
    uri: str, state: str, command: str | None
) -> None:
    assert remedy(KeyUri.parse(uri), state) == command


@pytest.mark.parametrize(
    ("environment", "note"),
    [
        ({"SSL_CERT_FILE": "/nowhere"}, "$SSL_CERT_FILE names a file that does not exist"),
        ({"https_proxy": "proxy:3128"}, "$HTTPS_PROXY has no scheme"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "differ"),
        ({"NODE_EXTRA_CA_CERTS": "/ca.pem"}, "$NODE_EXTRA_CA_CERTS is used by Node.js alone"),
        ({"ALL_PROXY": "socks5://proxy:1080"}, "ALL_PROXY names a SOCKS proxy, which is not"),
        ({"https_proxy": "http://[::1"}, "https_proxy is not a valid proxy address; write it as"),
        ({"SSL_CERT_FILE": __file__}, "SSL_CERT_FILE has no valid PEM certificate; check it:"),
    ],
)
def test_a_network_variable_that_cannot_work_is_named(
    environment: dict[str, str], note: str
) -> None:
    assert note in "\n".join(network_notes(environment))


@pytest.mark.parametrize(
    ("proxy", "host"),
    [
        ("http://proxy..example:3128", "proxy..example"),
        (f"http://{'a' * 64}:3128", "a" * 64),
        ("http://proxy..example:3128/path", "proxy..example"),
        ("http://u:hunter2@.:3128", "."),
    ],
)
def test_a_proxy_whose_name_cannot_be_one_has_no_address(proxy: str, host: str) -> None:
    notes = [*proxy_notes({"HTTP_PROXY": proxy})]

    assert notes == [f"the host of the proxy in $HTTP_PROXY has no address: {host}"]


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://user:CANARY@proxy:3128", "http://(credentials)@proxy:3128"),
        ("HTTPS://user:CANARY@proxy:3128/", "https://(credentials)@proxy:3128"),
        ("user:CANARY@proxy:3128", "(credentials)@proxy:3128"),
        ("http://CANARY:CAN/ARY@proxy:3128", "http://(credentials)@proxy:3128"),
        ("http://user:CAN#ARY@proxy:3128", "http://(credentials)@proxy:3128"),
        ("http://user:CAN?ARY@proxy:3128", "http://(credentials)@proxy:3128"),
        ("http://user:CAN@ARY@proxy:3128", "http://(credentials)@proxy:3128"),
        ("CANARY://x@proxy:3128", "(credentials)@proxy:3128"),
        ("http://user:CANARY@[::1", "http://(credentials)@[::1"),
        ("http://[CANARY@proxy", "http://(credentials)@proxy"),
    ],
)
def test_network_variables_are_shown_without_credentials(proxy: str, expected: str) -> None:
    shown = network_variables({"HTTPS_PROXY": proxy, "NO_PROXY": "*.a"})

    assert shown == {"HTTPS_PROXY": expected, "NO_PROXY": "*.a"}


def test_the_variables_that_count_are_told_from_the_others() -> None:
    environment = {
        **dict.fromkeys(("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"), "http://p:1"),
        **dict.fromkeys(("CURL_CA_BUNDLE", "SSL_CERT_FILE"), "/ca.pem"),
        "NO_PROXY": "*.a",
    }

    assert network_in_force(environment) == {"HTTPS_PROXY", "CURL_CA_BUNDLE", "NO_PROXY"}


@pytest.mark.parametrize(("ahead", "noted"), [(timedelta(0), False), (timedelta(hours=3), True)])
def test_a_clock_behind_the_last_save_is_noted(ahead: timedelta, noted: bool) -> None:
    notes = list(clock_notes(datetime.now(UTC) + ahead))

    assert bool(notes) == noted


def test_a_file_system_without_locks_is_noted(
    patient: Patient, doctor: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)

    found = doctor(patient.path)

    assert "has no locks" in found.notes
    assert found.code == 0


@pytest.mark.parametrize(
    ("name", "version", "provider"),
    [
        ("click", "8.2.2", None),
        ("grpcio", "1.78.1", "gcp-kms"),
        ("requests", "2.32.1", "azure-kv"),
        ("urllib3", "2.0.0", "oracle-kv"),
    ],
)
def test_a_withdrawn_version_is_noted_for_who_uses_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: str,
    provider: str | None,
) -> None:
    write_distribution(tmp_path / "bad", name, version=version)
    write_distribution(tmp_path / "good", name, version="99.0")

    monkeypatch.syspath_prepend(str(tmp_path / "bad"))
    (note,) = version_notes(provider)
    others = [*version_notes("key-file")]
    monkeypatch.syspath_prepend(str(tmp_path / "good"))
    mended = [*version_notes(provider)]

    assert note.startswith(f"{name} {version} was withdrawn")
    assert (others, mended) == ([], [])


def test_doctor_warns_of_a_withdrawn_version(
    patient: Patient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_distribution(tmp_path / "bad", "click", version="8.2.2")
    monkeypatch.syspath_prepend(str(tmp_path / "bad"))

    code = main(["doctor", str(patient.path)])

    assert code == 0
    assert "warning: click 8.2.2 was withdrawn" in capsys.readouterr().err


def test_doctor_changes_nothing(patient: Patient, doctor: Callable[..., Findings]) -> None:
    before = os.stat(patient.path), time.time_ns(), sorted(os.listdir(patient.path.parent))

    doctor(patient.path, "--for", "seal")

    assert os.stat(patient.path).st_mtime_ns == before[0].st_mtime_ns
    assert sorted(Path(patient.path.parent).iterdir())[0].name == before[2][0]


def test_a_key_that_wraps_does_not_serve_to_sign(
    patient: Patient, doctor: Callable[..., Findings]
) -> None:
    found = doctor(patient.path, "--for", "sign")

    assert (found.code, found.problems) == (4, ["KeyStateError"])
    assert "device key" in found.keys[0]["problems"][0]["hint"]
