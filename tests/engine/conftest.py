"""Fixtures: a certificate, a running server, and clients bound to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ksm_storage.engine import BackoffPolicy, InMemoryKeyValueStorage, SecretsManager
from tests.engine.loopback_server import LoopbackServer, running

Connect = Callable[..., SecretsManager]


@pytest.fixture(autouse=True)
def enabled_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the official client does to its logger, which is ours as well."""
    monkeypatch.setattr(logging.getLogger("ksm"), "disabled", False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for localhost that is its own CA."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    # Not for 127.0.0.1, which a test uses as the wrong name of the right machine.
    names = [x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def ca_file(certificate: tuple[Path, Path]) -> Path:
    return certificate[0]


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[LoopbackServer]:
    made = LoopbackServer()
    with running(made, *certificate):
        yield made


@pytest.fixture
def waits() -> list[float]:
    """Collect the seconds that a client would have slept."""
    return []


@pytest.fixture
def connect(server: LoopbackServer, ca_file: Path, waits: list[float]) -> Connect:
    """Make a client of the server with its token, over an empty configuration."""

    def make(config: Any = None, **arguments: Any) -> SecretsManager:
        arguments.setdefault("token", server.token_text)
        arguments.setdefault("server_public_key", server.server_public_key)
        arguments.setdefault("server_public_key_id", server.public_key_id)
        arguments.setdefault("ca_file", ca_file)
        backoff = BackoffPolicy(sleep=waits.append, uniform=lambda low, high: 0.0)
        arguments.setdefault("backoff", backoff)
        return SecretsManager(
            config=InMemoryKeyValueStorage() if config is None else config, **arguments
        )

    make.ca_file = ca_file  # type: ignore[attr-defined]
    return make


@pytest.fixture
def bound(connect: Connect) -> SecretsManager:
    """Return a client whose token is redeemed."""
    manager = connect()
    manager.bind()
    return manager
