"""The bytes of a wrapped data key have one form, and its policy is the TPM's own."""

from __future__ import annotations

import os

import pytest
from ksm_storage_tpm2.hooks import BANKS, NO_PCRS, Pcrs
from ksm_storage_tpm2.sealed_form import Policy, Sealed

from ksm_storage.errors import DecryptionError

from .opening import AAD, new_dek, opened
from .software_tpm import DEBUG_PCR, SoftwareTpm

PCRS = Pcrs(BANKS["sha256"], (7, DEBUG_PCR))


@pytest.mark.parametrize("needs_pin", [False, True])
@pytest.mark.parametrize("pcrs", [NO_PCRS, PCRS])
def test_what_is_written_is_read(needs_pin: bool, pcrs: Pcrs) -> None:
    digest = os.urandom(32) if pcrs.numbers else bytes(32)
    sealed = Sealed(Policy(pcrs, digest, needs_pin), b"public", b"private")

    assert Sealed.parse(bytes(sealed)) == sealed


@pytest.mark.parametrize("more", [{"pcrs": "7,16"}, {"pin": "1234"}, {"pcrs": "7", "pin": "1234"}])
def test_the_policy_is_what_a_trial_session_of_the_tpm_computes(
    more: dict[str, object], tpm: SoftwareTpm
) -> None:
    import tpm2_pytss as tss

    wrapped = opened("owner/app", tpm.settings, more).wrap(new_dek(), aad=AAD)
    sealed = Sealed.parse(wrapped.ciphertext)
    assert sealed is not None
    with tpm.esys() as esys:
        session = esys.start_auth_session(
            *(tss.ESYS_TR.NONE, tss.ESYS_TR.NONE, tss.TPM2_SE.TRIAL, None, tss.TPM2_ALG.SHA256)
        )
        policy = sealed.policy
        if policy.pcrs.numbers:
            digest = tss.TPM2B_DIGEST(policy.pcr_digest)
            esys.policy_pcr(session, digest, tss.TPML_PCR_SELECTION.parse(str(policy.pcrs)))
        if policy.needs_pin:
            esys.policy_auth_value(session)
        computed = bytes(esys.policy_get_digest(session))
        esys.flush_context(session)

    assert policy.digest() == computed


@pytest.mark.parametrize("needs_pin", [False, True])
def test_a_weaker_policy_than_the_sealed_one_is_an_altered_file(
    needs_pin: bool, tpm: SoftwareTpm
) -> None:
    wrapper = opened("owner/app", tpm.settings, {"pcrs": "16", "pin": "1234"})
    wrapped = wrapper.wrap(new_dek(), aad=AAD)
    sealed = Sealed.parse(wrapped.ciphertext)
    assert sealed is not None
    weaker = bytes(sealed._replace(policy=Policy(needs_pin=needs_pin)))

    with pytest.raises(DecryptionError):
        wrapper.unwrap(wrapped._replace(ciphertext=weaker), aad=AAD)


def test_every_bit_of_the_form_counts(tpm: SoftwareTpm) -> None:
    wrapper = opened("owner/app", tpm.settings, {"pcrs": "16"})
    wrapped = wrapper.wrap(new_dek(), aad=AAD)

    for place in range(0, 8 * 60, 7):
        altered = bytearray(wrapped.ciphertext)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(DecryptionError):
            opened("owner/app", tpm.settings, {"prompt": "never", "pin": "1"}).unwrap(
                wrapped._replace(ciphertext=bytes(altered)), aad=AAD
            )
