"""With approved algorithms only, everything but recovery keys works (docs/fips.md)."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import x25519

import ksm_storage
from ksm_storage.errors import PluginLoadError
from ksm_storage.providers import recovery_key, recovery_secret
from tests.attacks.claims import the_attacker
from tests.unit.storage.fixtures import CONFIG, folder, key, new_key, sealed

__all__ = ["folder", "key", "sealed"]

SECRET = bytes(range(32))


def refuse(*_: object, **__: object) -> NoReturn:
    raise UnsupportedAlgorithm("not supported by this version of OpenSSL")


@pytest.fixture
def only_approved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what is not approved, as an OpenSSL without it does."""
    for name in ("generate", "from_private_bytes"):
        monkeypatch.setattr(x25519.X25519PrivateKey, name, refuse)
    monkeypatch.setattr(x25519.X25519PublicKey, "from_public_bytes", refuse)
    monkeypatch.setattr(recovery_secret, "Scrypt", refuse)


@the_attacker("waits for a machine that allows only approved algorithms (FIPS) to use a weaker one")
def test_a_file_is_opened_changed_and_gets_other_keys(
    only_approved: None, sealed: Path, tmp_path: Path
) -> None:
    second = new_key(tmp_path / "keys/second.key")

    storage = ksm_storage.open_storage(sealed)
    storage.set("hostname", "other")
    ksm_storage.rewrap(sealed, add=[second])
    ksm_storage.rekey(sealed)

    assert storage.read_storage() == {**CONFIG, "hostname": "other"}


@the_attacker("waits for a machine that allows only approved algorithms (FIPS) to use a weaker one")
def test_a_recovery_key_is_refused_and_the_file_stays(
    sealed: Path, request: pytest.FixtureRequest
) -> None:
    recovery = recovery_key.RecoveryKey.of("office", SECRET)
    before = sealed.read_bytes()
    request.getfixturevalue("only_approved")

    with pytest.raises(PluginLoadError, match="X25519") as caught:
        ksm_storage.rewrap(sealed, add=[f"recovery://{recovery.public_id}"])

    assert "second key of another provider" in str(caught.value.hint)
    assert sealed.read_bytes() == before


def test_a_recovery_key_cannot_be_created(only_approved: None) -> None:
    with pytest.raises(PluginLoadError, match="X25519"):
        recovery_key.RecoveryKey.of("office", SECRET)


def test_a_recovery_file_is_a_documented_error(only_approved: None) -> None:
    with pytest.raises(PluginLoadError, match="scrypt"):
        recovery_secret._cipher("passphrase of a file", bytes(16))
