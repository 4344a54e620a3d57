"""Which files are opened as those of an official package, and by which keys."""

from __future__ import annotations

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import StorageError
from ksm_storage.keys.kek import Kek
from ksm_storage.storage.plaintext_source import is_officially_sealed, read_plaintext

REMOTE = KeyUri.parse("aws-kms://arn:aws:kms:eu-west-1:111122223333:key/k")
LOCAL = KeyUri.parse("key-file:///etc/app.key")
BLOB, CIPHERTEXT, TEXT = b"\xff\xff\x00\x02", b"\x01\x02\x02\x00\xfe", b'{"hostname": "h"}'


@pytest.mark.parametrize(
    ("content", "keys", "from_key", "expected"),
    [
        (BLOB, [LOCAL], None, True),
        (BLOB, [], None, True),
        (CIPHERTEXT, [REMOTE], None, True),
        (CIPHERTEXT, [LOCAL, REMOTE], None, True),
        (CIPHERTEXT, [LOCAL], None, False),
        (CIPHERTEXT, [], None, False),
        (CIPHERTEXT, [LOCAL], REMOTE, True),
        (CIPHERTEXT, [REMOTE], LOCAL, False),
        (TEXT, [REMOTE], REMOTE, False),
    ],
)
def test_bytes_that_only_may_be_sealed_are_taken_for_it_under_a_key_of_a_service(
    content: bytes, keys: list[KeyUri], from_key: KeyUri | None, expected: bool
) -> None:
    assert is_officially_sealed(content, keys, from_key) is expected


def test_bytes_that_are_not_sealed_are_named_when_they_are_no_configuration() -> None:
    with pytest.raises(StorageError, match="standard input"):
        read_plaintext(CIPHERTEXT, [REMOTE], LOCAL, open_kek=Kek.open, name="standard input")
