"""The certificate authority of a vault vouches for this machine and for nothing else."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from ksm_storage_local_vault.data_folder import DataFolder
from ksm_storage_local_vault.server.running import server_certificate
from ksm_storage_local_vault.testing import LocalVault

from ksm_storage.errors import SettingsError
from ksm_storage.serving.certificates import LOCAL_NAMES

FOREIGN_NAME = "somebody-else.test"


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """Return an empty data folder."""
    made = DataFolder(tmp_path / "vault")
    made.make()
    return made


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_it_connects_by_each_local_name(vault: LocalVault, name: str) -> None:
    context = ssl.create_default_context(cafile=vault.ca_file)
    port = int(vault.address.rpartition(":")[2])

    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_a_client_that_does_not_trust_it_refuses(vault: LocalVault) -> None:
    port = int(vault.address.rpartition(":")[2])

    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_authority_stays_over_restarts(folder: DataFolder) -> None:
    server_certificate(folder, LOCAL_NAMES)
    first = folder.ca_certificate.read_bytes()

    server_certificate(folder, LOCAL_NAMES)

    assert folder.ca_certificate.read_bytes() == first


def test_the_authority_is_good_for_its_names_only(folder: DataFolder) -> None:
    server_certificate(folder, LOCAL_NAMES)
    authority = x509.load_pem_x509_certificate(folder.ca_certificate.read_bytes())

    limits = authority.extensions.get_extension_for_class(x509.NameConstraints)

    assert limits.critical
    assert len(limits.value.permitted_subtrees or []) == len(LOCAL_NAMES)
    with pytest.raises(SettingsError, match="not valid for"):
        server_certificate(folder, [*LOCAL_NAMES, "keepersecurity.com"])


@pytest.mark.parametrize(("name", "accepted"), [("localhost", True), (FOREIGN_NAME, False)])
def test_a_stolen_authority_key_is_good_for_this_machine_only(
    folder: DataFolder, tmp_path: Path, name: str, accepted: bool
) -> None:
    server_certificate(folder, LOCAL_NAMES)

    forged = _forge(folder, tmp_path / "forged.pem", name)

    assert _accepts(folder.ca_certificate, forged, name) is accepted


def _forge(folder: DataFolder, path: Path, name: str) -> Path:
    authority = x509.load_pem_x509_certificate(folder.ca_certificate.read_bytes())
    stolen = load_pem_private_key((folder.keys / "ca-key.pem").read_bytes(), None)
    assert isinstance(stolen, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(stolen.public_key()), critical=False
        )
        .sign(stolen, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + leaf.public_bytes(Encoding.PEM))
    return path


def _accepts(ca_file: Path, certificate: Path, name: str) -> bool:
    """Shake hands in memory, and tell whether the client trusts the server."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    asking = ssl.create_default_context(cafile=str(ca_file))
    client = asking.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True
