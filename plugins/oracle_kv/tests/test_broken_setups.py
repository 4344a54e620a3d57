"""Broken set-ups of Oracle's credentials: each error says what to mend."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    SettingsError,
)
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.broken_setups import (
    SECRET,
    BrokenSetup,
    Machine,
    assert_finishes_the_job,
)

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import KEY

AUTH, SET = AuthenticationError, SettingsError
B = BrokenSetup


def config(m: Machine, text: str | bytes) -> Machine:
    return m.variables(OCI_CONFIG_FILE=m.file("broken", text))


def valid(m: Machine) -> str:
    return (m.folder / "valid").read_text()


def changed(m: Machine, pattern: str, replacement: str) -> Machine:
    """Change a line of the valid configuration file."""
    text = valid(m)
    new = re.sub(pattern, lambda _: replacement, text, flags=re.MULTILINE)
    assert new != text
    return config(m, new)


def key_file(m: Machine, content: str | bytes) -> Machine:
    return changed(m, r"^key_file.*$", f"key_file={m.file('key.pem', content)}")


def session(m: Machine, token: str | bytes | None) -> Machine:
    path = str(m.folder / "gone") if token is None else m.file("token", token)
    m.options(credential="security-token")
    return changed(m, r"\Z", f"\nsecurity_token_file={path}\n")


def expired_token() -> str:
    claims = base64.urlsafe_b64encode(b'{"exp": 1700000000}').decode().rstrip("=")
    return f"e30.{claims}.{SECRET}"


def elliptic_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def resource(m: Machine, **values: str | None) -> Machine:
    m.variables(OCI_RESOURCE_PRINCIPAL_VERSION="2.2", **values)
    return m.options(credential="resource-principal")


SETUPS = {
    "nothing at all": B(
        lambda m: m.variables(OCI_CONFIG_FILE=str(m.folder / "gone")), SET, "OCI_CONFIG_FILE"
    ),
    "file that is a folder": B(
        lambda m: m.variables(OCI_CONFIG_FILE=str(m.folder)), SET, "OCI_CONFIG_FILE"
    ),
    "empty file": B(lambda m: config(m, ""), SET, "profile"),
    "garbage": B(lambda m: config(m, SECRET), SET, "configuration file"),
    "bytes": B(lambda m: config(m, b"[DEFAULT]\nuser=\xff\xfe\n"), SET, "configuration file"),
    "JSON": B(lambda m: config(m, f'{{"user": "{SECRET}"}}'), SET, "configuration file"),
    "profile twice": B(lambda m: changed(m, r"\Z", "\n[A]\n[A]\n"), SET, "(line 9)"),
    "byte order mark": B(lambda m: changed(m, r"\A", "\ufeff"), SET, "(line 1)"),
    "unknown profile": B(
        lambda m: changed(m.options(profile="NOBODY"), r"\Z", "\n[ANYBODY]\n"), SET, "'ANYBODY'"
    ),
    "no user": B(lambda m: changed(m, r"^user.*$", ""), SET, "user missing"),
    "user with a blank": B(lambda m: changed(m, r"^user.*$", "user=ocid1 x"), SET, "user"),
    "garbled fingerprint": B(
        lambda m: changed(m, r"^fingerprint.*$", "fingerprint=none"), SET, "fingerprint"
    ),
    "another fingerprint": B(
        lambda m: changed(m, r"^fingerprint.*$", "fingerprint=" + ":".join(["aa"] * 16)),
        AUTH,
        "fingerprint",
    ),
    "no tenancy": B(lambda m: changed(m, r"^tenancy.*$", ""), SET, "tenancy"),
    "key file missing": B(
        lambda m: changed(m, r"^key_file.*$", "key_file=/no/such.pem"),
        SET,
        "'/no/such.pem' of the profile 'DEFAULT'",
    ),
    "key file empty": B(lambda m: key_file(m, ""), AUTH, "key_file"),
    "key file garbage": B(lambda m: key_file(m, SECRET), AUTH, "key_file"),
    "key file bytes": B(lambda m: key_file(m, b"\xff\xfe\x00"), AUTH, "key_file"),
    "key file cut off": B(
        lambda m: key_file(m, "-----BEGIN PRIVATE KEY-----\nMIIE"), AUTH, "key_file"
    ),
    "key file on a curve": B(lambda m: key_file(m, elliptic_key()), AUTH, "RSA private key"),
    "key in the configuration": B(
        lambda m: changed(m, r"^key_file.*$", f"key_content={SECRET}"), SET, "'key_content'"
    ),
    "key file is a folder": B(
        lambda m: changed(m, r"^key_file.*$", f"key_file={m.folder}"), SET, "key_file"
    ),
    "session with a key on a curve": B(
        lambda m: changed(
            m.options(credential="security-token"),
            r"^key_file.*$",
            f"key_file={m.file('key.pem', elliptic_key())}\n"
            f"security_token_file={m.file('token', SECRET)}",
        ),
        AUTH,
        "RSA private key",
    ),
    "session without its token": B(lambda m: session(m, None), SET, "security_token_file"),
    "session expired": B(lambda m: session(m, expired_token()), AUTH, "2023-11-14T22:13:20Z"),
    "session with an empty token": B(lambda m: session(m, ""), AUTH, "oci session"),
    "session with garbage": B(lambda m: session(m, SECRET), AUTH, "oci session"),
    "session: token bytes": B(lambda m: session(m, b"\xff\xfe"), AUTH, "oci session"),
    "session not in the profile": B(
        lambda m: m.options(credential="security-token"), SET, "security_token_file"
    ),
    "resource principal: nothing": B(
        lambda m: m.options(credential="resource-principal"), AUTH, "OCI_RESOURCE_PRINCIPAL_VERSION"
    ),
    "resource principal: half": B(
        lambda m: resource(m, OCI_RESOURCE_PRINCIPAL_RPST=SECRET),
        AUTH,
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM is not set",
    ),
    "resource principal: no private key": B(
        lambda m: resource(
            m, OCI_RESOURCE_PRINCIPAL_RPST=SECRET, OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM=SECRET
        ),
        AUTH,
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM is not a private key",
    ),
    "resource principal: no valid token": B(
        lambda m: resource(
            m,
            OCI_RESOURCE_PRINCIPAL_RPST=SECRET,
            OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM=re.findall("key_file=(.*)", valid(m))[0],
        ),
        AUTH,
        "OCI_RESOURCE_PRINCIPAL_RPST is malformed or expired",
    ),
    "resource principal: files missing": B(
        lambda m: resource(
            m,
            OCI_RESOURCE_PRINCIPAL_RPST="/no/such",
            OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM="/no/such",
            OCI_RESOURCE_PRINCIPAL_REGION="eu-frankfurt-1",
        ),
        AUTH,
        "cannot read the file '/no/such' of OCI_RESOURCE_PRINCIPAL_RPST",
    ),
    "resource principal: unknown version": B(
        lambda m: resource(m).variables(OCI_RESOURCE_PRINCIPAL_VERSION="9"),
        AUTH,
        "OCI_RESOURCE_PRINCIPAL_VERSION is '9'",
    ),
    "oke outside of a cluster": B(lambda m: m.options(credential="oke-workload"), AUTH, "OKE"),
    "oke without a service account": B(
        lambda m: m.options(credential="oke-workload").variables(
            KUBERNETES_SERVICE_HOST="127.0.0.1",
            OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH="/no/such/ca.crt",
        ),
        AUTH,
        "cannot read '/no/such/ca.crt'",
    ),
    "instance: a silent metadata service": B(
        lambda m: m.options(credential="instance-principal", credential_timeout=0.5),
        AUTH,
        "credential_timeout",
    ),
    "unknown region": B(
        lambda m: m.options(endpoint=None, region="mars-1-x"), SET, "of the option 'region'"
    ),
    "endpoint in the clear": B(lambda m: m.options(endpoint="http://kms.example"), SET, "https"),
}


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named(
    emulator: EmulatedVault,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    direct_call: bool,
) -> None:
    (tmp_path / "valid").write_text(config_file.read_text())
    machine = Machine(tmp_path, monkeypatch, settings={"endpoint": emulator.url, "deadline": 3.0})
    setup = SETUPS[name]
    setup.break_it(machine)
    version = f"{KEY.replace('.key.', '.keyversion.')}"
    wrapped = WrappedDek(f"{KEY}/{version}", "AES_256_GCM", b"c" * 100)

    with (
        pytest.raises(KsmStorageError) as caught,
        open_kek(KEY, **machine.settings, direct_call=direct_call) as kek,
    ):
        kek.unwrap(wrapped, aad=AAD)

    assert_finishes_the_job(caught.value, setup)
