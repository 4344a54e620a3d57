"""How often the vault is asked on behalf of one storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage import open_storage

from .emulated_vault import EmulatedVault

CRYPTOGRAPHY = ("wrapKey", "unwrapKey", "encrypt", "decrypt")


@pytest.mark.parametrize("is_hsm", [False, True], ids=["vault", "HSM"])
def test_creating_is_a_wrap_and_an_unwrap_opening_an_unwrap_and_saving_nothing(
    emulator: EmulatedVault, tmp_path: Path, is_hsm: bool
) -> None:
    vault = emulator.new_hsm() if is_hsm else emulator.new_vault()
    key = emulator.new_key(vault).kid.rpartition("/")[0]
    wrap, unwrap = ("encrypt", "decrypt") if is_hsm else ("wrapKey", "unwrapKey")
    path, settings = tmp_path / "client-config.json", {"azure-kv": emulator.settings}

    created = open_storage(path, keys=[key], settings=settings)
    created.set("hostname", "keepersecurity.com")
    assert operations(emulator) == {wrap: 1, unwrap: 1}

    opened = open_storage(path, settings=settings)
    assert opened.get("hostname") == "keepersecurity.com"
    assert operations(emulator) == {wrap: 1, unwrap: 2}

    pinned = open_storage(path, keys=[key], settings=settings)
    for number in range(100):
        pinned.set("clientId", str(number))
    assert operations(emulator) == {wrap: 1, unwrap: 3}


def test_a_process_that_creates_a_file_makes_a_wrap_and_an_unwrap(
    emulator: EmulatedVault, tmp_path: Path
) -> None:
    key = emulator.new_key(emulator.new_vault()).kid
    path, settings = tmp_path / "client-config.json", {"azure-kv": emulator.settings}

    open_storage(path, keys=[key], settings=settings).set("hostname", "keepersecurity.com")

    # The client asks the vault how to authenticate, with no token and no body; msal asks Entra
    # where its token endpoint is. The unwrap that proves the wrapped DEK gets a token of its own.
    assert emulator.emulator.transcript.calls() == {
        "challenge": 1,
        "openid-configuration": 1,
        "token": 2,
        "wrapKey": 1,
        "unwrapKey": 1,
    }


def operations(emulator: EmulatedVault) -> dict[str, int]:
    """Return the operations of a key, the way to them left out."""
    calls = emulator.emulator.transcript.calls()
    return {name: count for name, count in calls.items() if name in CRYPTOGRAPHY}
