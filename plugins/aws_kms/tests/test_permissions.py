"""The permissions that the documentation names are the ones that are needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_emulators.aws_kms.identities import allow

from ksm_storage.envelope.codec import wrap_aad
from ksm_storage.errors import PermissionDeniedError

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek
from .scripted_kms import DEK

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "aws-kms.md"


def policy() -> Any:
    """Return the policy of the page."""
    text = DOCUMENTATION.read_text(encoding="utf-8")
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_encrypt_is_all_that_a_wrap_needs(emulator: EmulatedKms) -> None:
    key = emulator.create_key(alias="alias/wrapping")

    with emulator.statements(allow("kms:Encrypt", on=[key])):
        for name in (key, "alias/wrapping"):
            with open_kek(name, emulator.url, region="us-east-1") as kek:
                kek.wrap(DEK, aad=AAD)


def test_decrypt_is_all_that_an_unwrap_needs(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    with open_kek(key, emulator.url) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    with emulator.statements(allow("kms:Decrypt", on=[key])), open_kek(key, emulator.url) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK
        with pytest.raises(PermissionDeniedError) as caught:
            kek.wrap(DEK, aad=AAD)

    assert caught.value.permission == "kms:Encrypt"


def test_the_conditions_of_the_documented_policy_are_met_by_an_envelope() -> None:
    aad = wrap_aad(bytes(16), 1, {"env": "prod"})
    prefix = "kms:EncryptionContext:"

    for statement in policy()["Statement"]:
        conditions = statement["Condition"]["StringEquals"]
        context = {n.removeprefix(prefix): v for n, v in conditions.items() if prefix in n}

        assert context
        assert context.items() <= dict(aad).items()
