"""Short ways to say a request of the crypto client, and which error it got."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from oci.exceptions import ServiceError
from oci.key_management.models import DecryptDataDetails, EncryptDataDetails

DEK = bytes(range(32))
DATA = {"env": "prod", "app": "ksm"}


def encrypt(client: Any, key_id: str, *, plaintext: bytes = DEK, **details: Any) -> Any:
    """Return the data of an Encrypt reply."""
    text = base64.b64encode(plaintext).decode()
    arguments = {"key_id": key_id, "plaintext": text, **details}
    return client.encrypt(EncryptDataDetails(**arguments)).data


def decrypt(client: Any, key_id: str, ciphertext: str, **details: Any) -> Any:
    """Return the data of a Decrypt reply."""
    arguments = {"key_id": key_id, "ciphertext": ciphertext, **details}
    return client.decrypt(DecryptDataDetails(**arguments)).data


def plaintext_of(data: Any) -> bytes:
    """Return the plaintext of a Decrypt reply."""
    return base64.b64decode(data.plaintext)


def refused(request: Callable[[], object]) -> tuple[int, str]:
    """Return status and code of the error that a request gets."""
    with pytest.raises(ServiceError) as caught:
        request()
    return caught.value.status, caught.value.code
