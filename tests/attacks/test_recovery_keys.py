"""The recovery recipient: both of its algorithms are needed, and no other key or share serves."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import chain
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode, wrap_aad
from ksm_storage.errors import DecryptionError, SettingsError
from ksm_storage.keys.kek import Kek
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import secret_of, shares_of, words_of
from tests.attacks.claims import the_attacker

SECRET = os.urandom(32)
OFFICE = RecoveryKey.of("office", SECRET)


@pytest.fixture
def recoverable(sealed: Path) -> Path:
    """Seal a file under a recovery key, too."""
    ksm_storage.rewrap(sealed, add=[f"recovery://{OFFICE.public_id}"])
    return sealed


def _broken(seed: bytes, half: str) -> MLKEM768X25519PrivateKey:
    """Return the private key of one who broke this half, and has to guess the other one."""
    ml_kem = os.urandom(64) if half == "X25519" else seed[:64]
    x25519 = os.urandom(32) if half == "ML-KEM" else seed[64:]
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(ml_kem), X25519PrivateKey.from_private_bytes(x25519)
    )


@the_attacker("keeps a copy of the file, and has a quantum computer one day")
@pytest.mark.parametrize("half", ["X25519", "ML-KEM", "both"])
def test_one_broken_algorithm_does_not_open_the_recovery_recipient(
    recoverable: Path, half: str
) -> None:
    header = decode(recoverable.read_bytes()).header
    (recipient,) = (r for r in header.recipients if r.key.provider == "recovery")
    aad = bytes(wrap_aad(header.envelope_id, header.generation, header.context))
    seed = hashlib.shake_256(SECRET).digest(96)
    private = _broken(seed, half)
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    info = b"ksm-storage recovery wrap v1\0office\0" + aad

    if half == "both":
        assert len(suite.decrypt(recipient.ciphertext[1216:], private, info)) == 32
        return
    with pytest.raises(InvalidTag):
        suite.decrypt(recipient.ciphertext[1216:], private, info)


@the_attacker("puts their own public key into the recovery recipient, for the next rekey")
@pytest.mark.parametrize("command", ["rekey", "library"])
def test_a_foreign_public_key_is_refused_before_anything_is_wrapped(
    recoverable: Path, command: str
) -> None:
    envelope = decode(recoverable.read_bytes())
    theirs = RecoveryKey.of("office", os.urandom(32)).public or b""
    recipients = tuple(
        r._replace(ciphertext=theirs + r.ciphertext[1216:]) if r.key.provider == "recovery" else r
        for r in envelope.header.recipients
    )
    header = envelope.header._replace(recipients=recipients)
    recoverable.write_bytes(encode(envelope._replace(header=header)))
    before = recoverable.read_bytes()

    if command == "library":
        with pytest.raises(DecryptionError, match="public key of another key"):
            ksm_storage.rekey(recoverable)
    else:
        assert main(["rekey", str(recoverable)]) == DecryptionError.exit_code
    assert recoverable.read_bytes() == before


@the_attacker("puts their own public key into the recovery recipient, for the next rekey")
def test_a_recipient_under_the_name_of_another_key_does_not_unwrap(recoverable: Path) -> None:
    theirs = RecoveryKey.of("office", os.urandom(32))
    with Kek.open(KeyUri("recovery", theirs.public_id)) as kek:
        wrapped = kek.wrap(bytes(32), aad=wrap_aad(b"", 1, {}))._replace(key_id=OFFICE.key_id)

    words = {"recovery": {"words": " ".join(words_of(SECRET))}}
    with (
        Kek.open(KeyUri("recovery", OFFICE.key_id), words) as kek,
        pytest.raises(DecryptionError, match="public key of another key"),
    ):
        kek.unwrap(wrapped, aad=wrap_aad(b"", 1, {}))


@the_attacker("finds fewer shares of a recovery secret than are needed, or offers a forged one")
def test_one_share_fits_every_secret(recoverable: Path) -> None:
    """With one share of two, each other second share gives a secret, and only the digest tells."""
    first, second = (" ".join(share) for share in shares_of(SECRET, needed=2, total=2))
    others = (shares_of(bytes([number]) * 32, needed=2, total=2) for number in range(8))
    offered = [" ".join(share) for share in chain.from_iterable(others)]

    with pytest.raises(SettingsError, match="2 different shares are needed"):
        secret_of(first)
    for share in offered:
        with pytest.raises(SettingsError):
            secret_of(f"{first}\n{share}")
    assert secret_of(f"{first}\n{second}") == SECRET


@the_attacker("finds fewer shares of a recovery secret than are needed, or offers a forged one")
def test_a_whole_set_of_another_secret_opens_nothing(recoverable: Path) -> None:
    shares = shares_of(os.urandom(32), needed=2, total=2)
    words = "\n".join(" ".join(share) for share in shares)
    pinned = [f"recovery://{OFFICE.key_id}"]

    with pytest.raises(DecryptionError, match="does not belong to 'office'"):
        ksm_storage.open_storage(recoverable, keys=pinned, settings={"recovery": {"words": words}})

    mine = "\n".join(" ".join(share) for share in shares_of(SECRET, needed=2, total=2))
    storage = ksm_storage.open_storage(
        recoverable, keys=pinned, settings={"recovery": {"words": mine}}
    )
    assert json.dumps(storage.read_storage())
