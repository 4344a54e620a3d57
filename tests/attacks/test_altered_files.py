"""What is done to the bytes of an envelope shows when it is opened, and gives nothing away."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode, mac_input, payload_aad, wrap_aad
from ksm_storage.envelope.model import Envelope, Recipient
from ksm_storage.envelope.opening import PAYLOAD_NONCE, derive_keys, header_mac, open_envelope
from ksm_storage.envelope.sealing import recipient_of, seal, wrap_new_dek
from ksm_storage.errors import DecryptionError, EnvelopeError, KsmStorageError
from ksm_storage.keys.kek import Kek
from ksm_storage.providers.recovery_key import RecoveryKey
from tests.attacks.claims import the_attacker
from tests.unit.storage.fixtures import CONFIG, new_key
from tests.unit.storage.planted import Counted

HEADER_FIELDS = {
    "envelope-id": b"0" * 32,
    "created": b"2001-01-01T00:00:00Z",
    "sealed": b"2001-01-01T00:00:00Z",
    "revision": b"99",
    "algorithm": b"AES-256-KW",
    "wrapped-dek": base64.b64encode(bytes(60)),
    "message-id": base64.b64encode(bytes(32)),
    "commitment": base64.b64encode(bytes(32)),
    "header-mac": base64.b64encode(bytes(32)),
}


def with_field(raw: bytes, name: str, value: bytes) -> bytes:
    """Return the envelope with another value in the first header line of a name."""
    changed, count = re.subn(
        rb"(?m)^%s: .*$" % name.encode(), name.encode() + b": " + value, raw, count=1
    )
    assert count == 1
    return changed


def refuses(path: Path, raw: bytes) -> None:
    """Check that bytes do not open, and that the file is left as it is."""
    path.write_bytes(raw)
    with pytest.raises(KsmStorageError) as caught:
        ksm_storage.open_storage(path)
    causes = caught.value.causes or (caught.value,)
    assert isinstance(causes[0], (DecryptionError, EnvelopeError))
    assert path.read_bytes() == raw


@the_attacker("copies the file, a backup of it or a disk image")
def test_a_copy_holds_no_value_of_the_configuration_and_no_key(sealed: Path, key: str) -> None:
    raw = sealed.read_bytes()
    opened = open_envelope(decode(raw))
    secrets = [opened.dek, Path(key.partition("://")[2]).read_bytes()]
    secrets += [value.encode() for value in CONFIG.values() if len(value) > 4]

    for secret in secrets:
        encoded = base64.b64encode(secret)[:-4]
        assert secret not in raw
        assert encoded not in raw.replace(b"\n", b"")
        assert secret.hex().encode() not in raw


@the_attacker("changes, cuts or extends the file")
@pytest.mark.parametrize("name", HEADER_FIELDS)
def test_a_header_field_that_was_changed_is_refused(name: str, sealed: Path) -> None:
    refuses(sealed, with_field(sealed.read_bytes(), name, HEADER_FIELDS[name]))


@the_attacker("changes, cuts or extends the file")
def test_no_byte_of_the_file_can_be_flipped(sealed: Path) -> None:
    raw = sealed.read_bytes()
    dek = open_envelope(decode(raw)).dek

    opened = [at for at in range(len(raw)) if _opens(_flipped(raw, at), dek)]

    assert opened == []


@the_attacker("changes, cuts or extends the file")
@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-2],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw + b"\n",
        lambda raw: raw + raw,
    ],
)
def test_a_file_that_was_cut_or_extended_is_refused(
    change: Callable[[bytes], bytes], sealed: Path
) -> None:
    refuses(sealed, change(sealed.read_bytes()))


@the_attacker("adds or removes a recipient, or changes the context")
def test_a_recipient_taken_from_another_envelope_is_refused(
    sealed: Path, key: str, folder: Path
) -> None:
    theirs = new_key(folder / "theirs.key")
    ksm_storage.open_storage(folder / "other", keys=[theirs]).set("hostname", "h")
    envelope = decode(sealed.read_bytes())
    added = decode((folder / "other").read_bytes()).header.recipients[0]

    refuses(sealed, _with_recipients(envelope, [*envelope.header.recipients, added]))


@the_attacker("adds or removes a recipient, or changes the context")
def test_a_recipient_that_was_removed_is_missed(sealed: Path, folder: Path) -> None:
    ksm_storage.rewrap(sealed, add=[new_key(folder / "second.key")])
    envelope = decode(sealed.read_bytes())

    for kept in envelope.header.recipients:
        refuses(sealed, _with_recipients(envelope, [kept]))


@the_attacker("adds or removes a recipient, or changes the context")
def test_a_context_that_was_changed_is_refused(folder: Path, key: str) -> None:
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[key], context={"env": "test"}).set("hostname", "h")

    refuses(path, path.read_bytes().replace(b"context: env=test", b"context: env=prod"))
    refuses(path, path.read_bytes().replace(b"context: env=prod\n", b""))


@the_attacker("adds a recipient with nothing but a public key")
def test_who_has_only_the_public_key_cannot_add_a_recipient(sealed: Path) -> None:
    recovery = RecoveryKey.of("office", bytes(32))
    envelope = decode(sealed.read_bytes())
    header = envelope.header
    # A whole and proper wrap, of a DEK that the attacker had to draw.
    with Kek.open(KeyUri("recovery", recovery.public_id)) as kek:
        wrapped = kek.wrap(bytes(range(32)), aad=wrap_aad(header.envelope_id, 1, header.context))

    added = recipient_of("recovery", wrapped)

    refuses(sealed, _with_recipients(envelope, [*header.recipients, added]))
    sealed.write_bytes(_with_recipients(envelope, [added]))
    with pytest.raises(KsmStorageError):
        ksm_storage.open_storage(sealed)


@the_attacker("adds a recipient with nothing but a public key")
def test_the_mac_of_such_a_recipient_does_not_help_without_the_dek(sealed: Path) -> None:
    envelope = decode(sealed.read_bytes())
    keys = derive_keys(bytes(range(32)), envelope.header.message_id)
    forged = envelope._replace(header_mac=header_mac(keys, mac_input(envelope.header)))

    refuses(sealed, encode(forged))


@the_attacker("lowers the version or the suite")
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (b"envelope v1\n", b"envelope v0\n", "version 0"),
        (b"envelope v1\n", b"envelope v2\n", "version 2"),
        (b"suite: 1\n", b"suite: 0\n", "suite 0"),
        (b"suite: 1\n", b"suite: 2\n", "suite 2"),
    ],
)
def test_another_version_or_suite_is_refused_with_its_number(
    before: bytes, after: bytes, told: str, sealed: Path
) -> None:
    sealed.write_bytes(sealed.read_bytes().replace(before, after))

    with pytest.raises(EnvelopeError, match=rf"unknown envelope {told}\b"):
        ksm_storage.open_storage(sealed)


@the_attacker("crafts a file that opens under two keys")
def test_a_payload_for_two_keys_commits_to_one(folder: Path, counted: Counted) -> None:
    with Kek.open(KeyUri.parse("counted://one")) as one:
        first = seal(b"{}", wrap_new_dek([one]))
    dek = open_envelope(first).dek
    other = bytes(32)
    # The attacker knows both DEKs, and makes all but the commitment fit the second one.
    keys = derive_keys(other, first.header.message_id)
    header = first.header
    mac = header_mac(keys, mac_input(header))
    ciphertext = AESGCM(keys.payload_key).encrypt(PAYLOAD_NONCE, b"{}", payload_aad(header))

    assert not _opens(encode(Envelope(header, mac, ciphertext)), other)
    assert not _opens(encode(Envelope(header, mac, ciphertext)), dek)
    assert _opens(encode(first), dek)


def _with_recipients(envelope: Envelope, recipients: list[Recipient]) -> bytes:
    header = envelope.header._replace(recipients=tuple(recipients))
    return encode(envelope._replace(header=header))


def _flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def _opens(raw: bytes, dek: bytes) -> bool:
    from ksm_storage.envelope.opening import unlock

    try:
        unlock(decode(raw), dek)
    except (EnvelopeError, DecryptionError):
        return False
    return True
