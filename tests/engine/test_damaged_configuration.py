"""A bound configuration of which one value is damaged or gone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager
from ksm_storage.errors import SettingsError
from tests.engine.conftest import Connect


def _key_of_another_curve() -> str:
    raw = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appKey", "no-base64-!"),
        ("appKey", base64.b64encode(bytes(16)).decode()),
        ("privateKey", "no-base64-!"),
        ("privateKey", base64.b64encode(b"canary-not-a-key").decode()),
        ("privateKey", _key_of_another_curve()),
        ("serverPublicKey", base64.b64encode(b"canary-not-a-point").decode()),
        ("serverPublicKeyId", "42\r\nX-Canary: y"),
    ],
)
def test_a_damaged_value_is_reported_and_not_shown(
    server: Any, ca_file: Path, connect: Connect, name: str, value: str
) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()
    config.set(name, value)

    with pytest.raises(SettingsError) as caught:
        SecretsManager(config=config, ca_file=ca_file).get_secrets()

    assert caught.value.hint
    assert value not in f"{caught.value} {caught.value.hint}"
