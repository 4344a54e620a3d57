"""What happens to a machine: power cycles, other firmware, a cleared or locked TPM, none at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ksm_storage.errors import KsmStorageError
from ksm_storage.plugin import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    UnavailableError,
    WrappedDek,
)

from .opening import AAD, new_dek, opened
from .software_tpm import DEBUG_PCR, SoftwareTpm
from .test_conformance import SIGNING, STORAGE

KEY = "owner/app"
PIN = {"pin": "correct horse"}
PCRS = {"pcrs": str(DEBUG_PCR)}


def wrapped_dek(tpm: SoftwareTpm, **more: object) -> tuple[bytes, WrappedDek]:
    dek = new_dek()
    return dek, opened(KEY, tpm.settings, more).wrap(dek, aad=AAD)


def test_a_data_key_survives_power_cycles(tpm: SoftwareTpm) -> None:
    dek, wrapped = wrapped_dek(tpm, **PCRS, **PIN)
    persistent = tpm.persistent("ecc256:aes128cfb", 0x81000001, STORAGE)
    other = opened(persistent, tpm.settings).wrap(dek, aad=AAD)

    for _ in range(2):
        tpm.power_cycle()
        assert opened(KEY, tpm.settings, PIN).unwrap(wrapped, aad=AAD) == dek
        assert opened(persistent, tpm.settings).unwrap(other, aad=AAD) == dek


def test_one_key_wrapper_goes_on_after_a_power_cycle(tpm: SoftwareTpm) -> None:
    dek, wrapper = new_dek(), opened(KEY, tpm.settings)
    wrapped = wrapper.wrap(dek, aad=AAD)
    tpm.stop()
    with pytest.raises(UnavailableError, match="cannot reach the TPM"):
        wrapper.unwrap(wrapped, aad=AAD)
    tpm.start()

    assert wrapper.unwrap(wrapped, aad=AAD) == dek


def test_a_pcr_that_was_extended_is_named(tpm: SoftwareTpm) -> None:
    dek, wrapped = wrapped_dek(tpm, **PCRS)
    wrapper = opened(KEY, tpm.settings, PCRS)
    before = wrapper.describe_key().current_version
    tpm.extend()

    with pytest.raises(KeyStateError, match=r"sealed at sha256:16=.*, now sha256:16=") as caught:
        wrapper.unwrap(wrapped, aad=AAD)

    assert "rewrap --refresh" in str(caught.value.hint)
    assert wrapper.wrapping_version(wrapped, aad=AAD) == before
    assert wrapper.describe_key().current_version not in (None, before)
    tpm.reset()
    assert wrapper.unwrap(wrapped, aad=AAD) == dek


def test_more_pcrs_than_one_answer_holds(tpm: SoftwareTpm) -> None:
    dek, wrapped = wrapped_dek(tpm, pcrs="sha256:0,1,2,3,4,5,6,7,9,16")

    assert opened(KEY, tpm.settings).unwrap(wrapped, aad=AAD) == dek
    tpm.extend()
    with pytest.raises(KeyStateError):
        opened(KEY, tpm.settings).unwrap(wrapped, aad=AAD)


def test_the_pcrs_of_the_file_count_and_not_those_of_the_settings(tpm: SoftwareTpm) -> None:
    dek, wrapped = wrapped_dek(tpm, **PCRS)

    assert opened(KEY, tpm.settings, {"pcrs": "7"}).unwrap(wrapped, aad=AAD) == dek


def test_a_bank_that_is_missing_is_a_settings_error(tpm: SoftwareTpm) -> None:
    tpm.allocate_sha1(bytes(3))
    try:
        with pytest.raises(SettingsError, match="does not have the PCR bank"):
            wrapped_dek(tpm, pcrs="sha1:7")
        wrapped_dek(tpm, pcrs="sha256:7")
    finally:
        tpm.allocate_sha1(b"\xff\xff\xff")


@pytest.mark.parametrize("key", [KEY, "0x81000001"])
def test_a_cleared_tpm_has_lost_its_keys(key: str, tpm: SoftwareTpm) -> None:
    tpm.persistent("ecc256:aes128cfb", 0x81000001, STORAGE)
    wrapped = opened(key, tpm.settings).wrap(new_dek(), aad=AAD)
    tpm.clear()

    expected = DecryptionError if key == KEY else KeyNotFoundError
    with pytest.raises(expected, match=r"does not belong to the key|was not found"):
        opened(key, tpm.settings).unwrap(wrapped, aad=AAD)
    tpm.persistent("ecc256:aes128cfb", 0x81000001, STORAGE)
    with pytest.raises(DecryptionError, match="does not belong to the key"):
        opened(key, tpm.settings).unwrap(wrapped, aad=AAD)


def test_another_tpm_unseals_nothing(tpm: SoftwareTpm, tmp_path: Path) -> None:
    _, wrapped = wrapped_dek(tpm)

    with SoftwareTpm(tmp_path) as other, pytest.raises(DecryptionError):
        opened(KEY, other.settings).unwrap(wrapped, aad=AAD)


def test_a_wrong_pin_is_counted_once_and_never_sent_again(tpm: SoftwareTpm) -> None:
    dek, wrapped = wrapped_dek(tpm, **PIN)
    wrong = {"pin": "battery staple"}

    with pytest.raises(AuthenticationError, match="rejected the PIN"):
        opened(KEY, tpm.settings, wrong).unwrap(wrapped, aad=AAD)
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="rejected this PIN before"):
            opened(KEY, tpm.settings, wrong).unwrap(wrapped, aad=AAD)

    assert tpm.counted() == 1
    assert opened(KEY, tpm.settings, PIN).unwrap(wrapped, aad=AAD) == dek


def test_a_pin_that_is_needed_and_missing_asks_no_tpm(tpm: SoftwareTpm) -> None:
    _, wrapped = wrapped_dek(tpm, **PIN)

    with pytest.raises(SettingsError, match="requires a PIN, and none is set"):
        opened(KEY, tpm.settings, {"prompt": "never"}).unwrap(wrapped, aad=AAD)

    assert tpm.counted() == 0


def test_a_pin_from_a_descriptor_is_read_once(tpm: SoftwareTpm) -> None:
    _, wrapped = wrapped_dek(tpm, **PIN)
    read, write = os.pipe()
    os.write(write, b"battery staple\n")
    os.close(write)

    with pytest.raises(AuthenticationError, match="rejected the PIN"):
        opened(KEY, tpm.settings, {"pin_fd": read}).unwrap(wrapped, aad=AAD)
    os.close(read)

    assert tpm.counted() == 1


def test_a_locked_tpm_is_not_asked_again_and_says_how_to_unlock(tpm: SoftwareTpm) -> None:
    dek, wrapped = wrapped_dek(tpm, **PIN)
    _, without_pin = wrapped_dek(tpm)
    tpm.lock_after(2)
    for pin in ("one", "two"):
        with pytest.raises(AuthenticationError):
            opened(KEY, tpm.settings, {"pin": pin}).unwrap(wrapped, aad=AAD)

    with pytest.raises(AuthenticationError, match="locked after too many wrong PINs") as caught:
        opened(KEY, tpm.settings, PIN).unwrap(wrapped, aad=AAD)
    described = opened(KEY, tpm.settings, PIN).describe_key()

    assert not caught.value.retryable
    assert "--clear-lockout" in str(caught.value.hint)
    assert (described.state, described.state_name) == ("disabled", "locked after wrong PINs")
    # What takes no PIN is not part of the lockout.
    opened(KEY, tpm.settings).unwrap(without_pin, aad=AAD)
    tpm.unlock()
    assert opened(KEY, tpm.settings, PIN).unwrap(wrapped, aad=AAD) == dek
    tpm.lock_after(3)


def test_a_machine_without_a_tpm_says_so(tmp_path: Path) -> None:
    pytest.importorskip("tpm2_pytss", exc_type=ImportError)
    wrapper = opened(KEY, {"device": str(tmp_path / "tpmrm0")})

    with pytest.raises(ProviderError, match="was not found") as caught:
        wrapper.wrap(new_dek(), aad=AAD)

    assert not caught.value.retryable


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_device_without_permission_says_which(tmp_path: Path) -> None:
    # Loaded before: the other user may not read what is installed here.
    pytest.importorskip("tpm2_pytss", exc_type=ImportError)
    device = tmp_path / "tpmrm0"
    device.touch(mode=0o600)
    wrapper = opened(KEY, {"device": str(device)})
    with pytest.raises(KsmStorageError):
        wrapper.probe_permissions()
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError, match="no permission to use the TPM") as caught:
            wrapper.wrap(new_dek(), aad=AAD)
        probes = wrapper.probe_permissions()
    finally:
        os.seteuid(0)

    assert caught.value.permission == f"read and write {device}"
    assert "usermod -aG tss" in str(caught.value.hint)
    assert [(probe.need, probe.granted) for probe in probes] == [("open", False), ("seal", False)]


def test_an_owner_with_an_authorization_value_wants_a_persistent_key(tpm: SoftwareTpm) -> None:
    persistent = tpm.persistent("ecc256:aes128cfb", 0x81000001, STORAGE)
    tpm.set_owner_auth(b"owner")
    try:
        with pytest.raises(AuthenticationError, match="owner hierarchy") as caught:
            wrapped_dek(tpm)
        opened(persistent, tpm.settings).wrap(new_dek(), aad=AAD)
    finally:
        tpm.set_owner_auth(b"", before=b"owner")

    assert "persistent" in str(caught.value.hint)


def test_a_handle_without_a_key_is_not_found(tpm: SoftwareTpm) -> None:
    with pytest.raises(KeyNotFoundError, match="the key '0x81ffffff' was not found"):
        opened("0x81ffffff", tpm.settings).wrap(new_dek(), aad=AAD)


def test_a_key_of_another_kind_does_not_seal_or_sign(tpm: SoftwareTpm) -> None:
    storage = tpm.persistent("ecc256:aes128cfb", 0x81000001, STORAGE)
    signing = tpm.persistent("ecc256:ecdsa-sha256", 0x81010001, SIGNING)

    with pytest.raises(KeyStateError, match="is not a storage key"):
        opened(signing, tpm.settings).wrap(new_dek(), aad=AAD)
    with pytest.raises(KeyStateError, match="is not a P-256 signing key"):
        opened(storage, tpm.settings).sign_digest(bytes(32))
    with pytest.raises(KeyStateError, match="is not a P-256 signing key"):
        opened(storage, tpm.settings).signing_key()


def test_an_rsa_key_is_no_device_key(tpm: SoftwareTpm) -> None:
    rsa = tpm.persistent("rsa2048:rsassa-sha256", 0x81010003, SIGNING)

    with pytest.raises(KeyStateError, match="is not a P-256 signing key"):
        opened(rsa, tpm.settings).signing_key()


def test_a_device_key_with_a_pin_counts_wrong_ones(tpm: SoftwareTpm) -> None:
    import hashlib

    auth = hashlib.sha256(b"correct horse").digest().rstrip(b"\0")
    key = tpm.persistent("ecc256:ecdsa-sha256", 0x81010004, SIGNING, auth=auth)

    assert opened(key, tpm.settings, PIN).sign_digest(bytes(32))
    for message in ("rejected the PIN", "rejected this PIN before"):
        with pytest.raises(AuthenticationError, match=message):
            opened(key, tpm.settings, {"pin": "wrong"}).sign_digest(bytes(32))
    assert tpm.counted() == 1


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tpm2_pytss", None)

    with pytest.raises(SettingsError, match="library for the TPM cannot be loaded") as caught:
        opened(KEY, {"device": str(tmp_path)}).wrap(new_dek(), aad=AAD)

    assert "tpm2-pytss" in str(caught.value.hint)


def test_nothing_is_left_in_the_tpm(tpm: SoftwareTpm) -> None:
    import tpm2_pytss as tss

    _, wrapped = wrapped_dek(tpm, **PCRS)
    tpm.extend()
    with pytest.raises(KeyStateError):
        opened(KEY, tpm.settings).unwrap(wrapped, aad=AAD)

    with tpm.esys() as esys:
        for first in (0x80000000, 0x02000000, 0x03000000):
            _, data = esys.get_capability(tss.TPM2_CAP.HANDLES, first, 8)
            assert list(data.data.handles) == []
