"""What is asked of the vault, how often, and which replies are not believed."""

from __future__ import annotations

import base64

import pytest

from ksm_storage.errors import DecryptionError, ProviderError, UnavailableError
from ksm_storage.plugin import WrappedDek

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek, open_wrapper
from .scripted_vault import (
    DEK,
    HSM_KEY,
    HSM_KID,
    KEY,
    KID,
    VERSION,
    ScriptedVault,
    reply,
    unwrapped,
    wrapped,
)

RSA = WrappedDek(KID, "RSA-OAEP-256", b"c" * 256)
AES = WrappedDek(HSM_KID, "A256GCM", b"i" * 12 + b"c" * 32 + b"t" * 16)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_wrap_under_an_rsa_key_is_one_call_of_the_newest_version(
    scripted: ScriptedVault,
) -> None:
    scripted.answer(wrapped())

    with open_kek(KEY, scripted.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)

    (asked,) = scripted.asked
    assert (asked.operation, asked.path) == ("wrapKey", "/keys/app/wrapkey")
    assert asked.body == {"alg": "RSA-OAEP-256", "value": encoded(DEK)}
    assert recorded == WrappedDek(KID, "RSA-OAEP-256", b"c" * 256)


def test_an_unwrap_under_an_rsa_key_is_one_call_of_the_recorded_version(
    scripted: ScriptedVault,
) -> None:
    with open_kek(KEY, scripted.settings) as kek:
        assert kek.unwrap(RSA, aad=AAD) == DEK

    (asked,) = scripted.asked
    assert (asked.operation, asked.path) == ("unwrapKey", f"/keys/app/{VERSION}/unwrapkey")
    assert asked.body == {"alg": "RSA-OAEP-256", "value": encoded(RSA.ciphertext)}


def test_a_wrap_under_an_aes_key_is_one_call_with_the_aad(scripted: ScriptedVault) -> None:
    parts = {"value": b"c" * 32, "iv": b"i" * 12, "tag": b"t" * 16}
    scripted.answer(reply({"kid": HSM_KID, **{name: encoded(p) for name, p in parts.items()}}))

    with open_kek(HSM_KEY, scripted.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)

    (asked,) = scripted.asked
    assert (asked.operation, asked.path) == ("encrypt", "/keys/app/encrypt")
    # The HSM makes the IV: two machines that make their own could make the same.
    assert asked.body == {"alg": "A256GCM", "value": encoded(DEK), "aad": encoded(bytes(AAD))}
    assert recorded == AES


def test_an_unwrap_under_an_aes_key_is_one_call_with_iv_tag_and_aad(
    scripted: ScriptedVault,
) -> None:
    scripted.answer(unwrapped(kid=HSM_KID))

    with open_kek(HSM_KEY, scripted.settings) as kek:
        assert kek.unwrap(AES, aad=AAD) == DEK

    (asked,) = scripted.asked
    assert (asked.operation, asked.path) == ("decrypt", f"/keys/app/{VERSION}/decrypt")
    assert asked.body == {
        "alg": "A256GCM",
        "value": encoded(b"c" * 32),
        "aad": encoded(bytes(AAD)),
        "iv": encoded(b"i" * 12),
        "tag": encoded(b"t" * 16),
    }


@pytest.mark.parametrize("length", [1, 16, 31, 33, 64])
def test_a_dek_of_another_length_is_refused_by_the_plugin_itself(
    scripted: ScriptedVault, length: int
) -> None:
    scripted.answer(unwrapped(dek=b"k" * length))

    with pytest.raises(DecryptionError, match="must be 32 bytes"):
        open_wrapper(KEY, scripted.settings).unwrap(RSA, aad=AAD)


def test_the_recorded_key_id_is_written_in_one_way(scripted: ScriptedVault) -> None:
    scripted.answer(wrapped(kid=KID.replace("demo.vault", "Demo.Vault")))

    with open_kek(KEY, scripted.settings) as kek:
        assert kek.wrap(DEK, aad=AAD).key_id == KID


@pytest.mark.parametrize(("iv", "tag"), [(11, 16), (12, 15), (16, 16)])
def test_an_iv_or_tag_of_another_length_is_no_wrap(
    scripted: ScriptedVault, iv: int, tag: int
) -> None:
    parts = {"value": b"c" * 32, "iv": bytes(iv), "tag": bytes(tag)}
    scripted.answer(reply({"kid": HSM_KID, **{name: encoded(p) for name, p in parts.items()}}))

    with open_kek(HSM_KEY, scripted.settings) as kek, pytest.raises(UnavailableError):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("is_hsm", [False, True], ids=["vault", "HSM"])
def test_a_rotated_key_opens_what_an_older_version_wrapped(
    emulator: EmulatedVault, is_hsm: bool
) -> None:
    vault = emulator.new_hsm() if is_hsm else emulator.new_vault()
    name = emulator.new_key(vault, name="app").kid.rpartition("/")[0]
    with open_kek(name, emulator.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        newest = emulator.new_key(vault, name="app")

        assert kek.unwrap(recorded, aad=AAD) == DEK
        assert kek.wrap(DEK, aad=AAD).key_id == newest.kid != recorded.key_id


def test_an_rsa_key_of_a_managed_hsm_is_used_when_the_caller_says_so(
    emulator: EmulatedVault,
) -> None:
    hsm = emulator.new_hsm()
    key = emulator.service.create_key("rsa", vault=hsm, kty="RSA-HSM")

    with open_kek(key.kid, emulator.settings, algorithm="RSA-OAEP-256") as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


@pytest.mark.parametrize("times", ["not_before", "expires"])
def test_a_key_outside_its_time_still_unwraps(emulator: EmulatedVault, times: str) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        hour = 3600 if times == "not_before" else -3600
        setattr(key, times, int(emulator.service.clock.now()) + hour)

        assert kek.unwrap(recorded, aad=AAD) == DEK


@pytest.mark.parametrize("is_hsm", [False, True], ids=["vault", "HSM"])
def test_two_permissions_are_enough(emulator: EmulatedVault, is_hsm: bool) -> None:
    vault = emulator.new_hsm() if is_hsm else emulator.new_vault()
    key = emulator.new_key(vault)
    application = emulator.service.directory.add_application("least")
    permissions = ["encrypt", "decrypt"] if is_hsm else ["wrapKey", "unwrapKey"]
    vault.grant(application.principal.object_id, permissions)

    with open_kek(key.kid, emulator.settings_of(application)) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_first_call_of_a_process_asks_the_vault_how_to_authenticate_and_sends_no_dek(
    emulator: EmulatedVault,
) -> None:
    key = emulator.new_key(emulator.new_vault())

    with open_kek(key.kid, emulator.settings) as kek:
        kek.wrap(DEK, aad=AAD)

    exchanges = emulator.emulator.transcript.exchanges()
    assert [each.operation for each in exchanges] == [
        "challenge",
        "openid-configuration",
        "token",
        "wrapKey",
    ]
    assert exchanges[0].body == b""
    assert "authorization" not in exchanges[0].headers


def test_a_second_call_is_one_request(emulator: EmulatedVault) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.emulator.transcript.reset()

        kek.unwrap(recorded, aad=AAD)

    assert emulator.emulator.transcript.calls() == {"unwrapKey": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(scripted: ScriptedVault, status: int) -> None:
    elsewhere = {"Location": "https://evil.vault.azure.net/keys/app/wrapkey"}
    scripted.answer(reply({}, status=status, headers=elsewhere))

    with open_kek(KEY, scripted.settings) as kek, pytest.raises(ProviderError, match="redirect"):
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1
