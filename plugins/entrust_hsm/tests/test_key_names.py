"""Names of keys: RFC 7512, and nothing in them that configures code."""

from __future__ import annotations

import pytest
from ksm_storage_entrust_hsm.hooks import recognise_key
from ksm_storage_entrust_hsm.key_names import KeyName, covers

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import SettingsError

from .opening import open_kek

FULL = (
    "token=ksm;serial=0123;manufacturer=Entrust;model=nShield;"
    "object=my%20key;id=%01%AB;type=private"
)


def test_every_attribute_is_read() -> None:
    assert KeyName.parse(FULL) == KeyName(
        "ksm", "0123", "Entrust", "nShield", "my key", b"\x01\xab", "private"
    )


def test_a_name_is_written_as_it_was_read() -> None:
    assert str(KeyName.parse(FULL)) == FULL


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("object=k;token=t", "token=t;object=k"),
        ("object=%6b", "object=k"),
        ("id=AB", "id=%41%42"),
        ("object=a%3bb", "object=a%3Bb"),
        ("object=%c3%a4", "object=%C3%A4"),
        ("object=50%25", "object=50%25"),
    ],
)
def test_one_key_has_one_name(text: str, canonical: str) -> None:
    assert str(KeyName.parse(text)) == canonical
    assert KeyUri.parse(f"pkcs11://{canonical}").key_id == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", "token=t", "object", "object=", "object=k;", ";object=k", "object=k;object=k"),
        *("object=%4", "object=%zz", "object=%FF", "object=a%", "id=", "slot-id=1;object=k"),
        *("object=k;type=cert", "object=k;type=public", "library-manufacturer=x;object=k"),
        *("object=k;module-path=/tmp/x.so", "object=k;pin-value=1234", "unknown=1;object=k"),
    ],
)
def test_what_names_no_key_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        KeyName.parse(text)


@pytest.mark.parametrize(
    "query",
    [
        *("module-path=/tmp/evil.so", "module-name=evil", "pin-source=file:/etc/pin"),
        *("pin-value=canary-pin", "pin-source=|/bin/pin", "x=1&pin-value=canary-pin"),
    ],
)
def test_a_name_that_configures_code_is_refused_and_not_shown(query: str) -> None:
    with pytest.raises(SettingsError, match="without a query") as caught:
        open_kek(f"token=ksm;object=one?{query}", module="/none.so")

    assert "canary" not in f"{caught.value} {caught.value.as_dict()!r}"
    assert "evil" not in f"{caught.value} {caught.value.as_dict()!r}"


@pytest.mark.parametrize(
    ("trusted", "key", "answer"),
    [
        ("object=k", "token=t;object=k;id=%01", True),
        ("token=t;id=%01", "token=t;object=k;id=%01", True),
        ("token=t;object=k", "token=u;object=k", False),
        ("serial=1;object=k", "token=t;object=k", False),
        ("token=t;object=k;id=%01", "token=t;object=k", False),
        ("object=k", "object=K", False),
        ("object=k", "junk", False),
        ("junk", "object=k", False),
        ("object=k", "object=k?module-path=/x", False),
    ],
)
def test_a_name_covers_what_has_all_its_attributes(trusted: str, key: str, answer: bool) -> None:
    assert covers(trusted, key) is answer


@pytest.mark.parametrize("text", ["pkcs11:", "pkcs11://object=k", "PKCS11:object=k", "object=k"])
def test_what_is_no_native_name_is_not_recognised(text: str) -> None:
    assert recognise_key(text) is None
