"""What `status` and `doctor` learn of a key in a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.errors import AuthenticationError, KeyNotFoundError, UnavailableError
from ksm_storage.keys.kek_abilities import (
    describe_access,
    describe_key,
    probe_permissions,
    wrapping_version,
)

from .interposer import Interposer
from .opening import AAD, DEK, ONE, open_kek
from .soft_token import LIBRARY, PIN

pytestmark = pytest.mark.usefixtures("soft_token")

RSA_SHA1 = "CKM_RSA_PKCS_OAEP/SHA-1"


@pytest.mark.parametrize(
    ("key", "settings", "state", "algorithm", "public"),
    [
        (ONE, {}, "enabled", "AES-256", False),
        ("token=ksm;object=wrap-one", {}, "enabled", "AES-256", False),
        ("token=ksm;object=rsa-one", {"mechanism": RSA_SHA1}, "enabled", "RSA-2048", True),
        ("token=ksm;object=half", {"mechanism": RSA_SHA1}, "enabled", "RSA-2048", True),
        ("token=ksm;object=useless", {}, "unusable", "AES-256", False),
    ],
)
def test_a_key_is_described(
    key: str, settings: dict[str, object], state: str, algorithm: str, public: bool
) -> None:
    with open_kek(key, **settings) as kek:
        found = describe_key(kek)

    assert found is not None
    assert (found.state, found.algorithm, found.public) == (state, algorithm, public)
    assert found.key_id.startswith("token=ksm;object=")
    assert found.protection == "stays in the token"
    assert found.current_version is None


def test_a_key_has_no_versions() -> None:
    with open_kek(ONE) as kek:
        assert wrapping_version(kek, kek.wrap(DEK, aad=AAD), aad=AAD) is None


def test_the_access_names_library_token_and_mechanisms_and_no_pin() -> None:
    with open_kek(ONE) as kek:
        labels = describe_access(kek)

    assert labels is not None
    assert labels["library"] == LIBRARY
    assert (labels["token"], labels["identity"]) == ("ksm", "user")
    assert labels["maker"].startswith("SoftHSM")
    assert "CKM_AES_GCM" in labels["mechanisms"]
    assert PIN not in str(labels)


def test_settings_of_nshield_are_shown_where_its_library_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LIBRARY is not None
    library = tmp_path / "libcknfast.so"
    library.symlink_to(LIBRARY)
    monkeypatch.setenv("CKNFAST_LOADSHARING", "1")

    with open_kek(ONE, module=str(library)) as kek:
        shown = describe_access(kek)
    with open_kek(ONE) as kek:
        unshown = describe_access(kek)

    assert shown is not None
    assert unshown is not None
    assert shown["CKNFAST_LOADSHARING"].startswith("1 (from environment): ")
    assert "CKNFAST_LOADSHARING" not in unshown


@pytest.mark.parametrize(
    ("key", "settings", "expected"),
    [
        (ONE, {}, {"CKA_DECRYPT": True, "CKA_ENCRYPT": True}),
        ("token=ksm;object=wrap-one", {}, {"CKA_UNWRAP": True, "CKA_WRAP": True}),
        (
            "token=ksm;object=half",
            {"mechanism": RSA_SHA1},
            {"CKA_DECRYPT": True, "CKA_ENCRYPT": False},
        ),
        ("token=ksm;object=useless", {}, {"CKA_DECRYPT": False}),
    ],
)
def test_permissions_are_the_attributes_of_the_key(
    key: str, settings: dict[str, object], expected: dict[str, bool]
) -> None:
    with open_kek(key, **settings) as kek:
        probes = probe_permissions(kek)

    assert probes is not None
    assert {probe.permission: probe.granted for probe in probes} == expected
    assert all(probe.grant for probe in probes if not probe.granted)


def test_nothing_is_encrypted_or_decrypted_to_find_out(interposer: Interposer) -> None:
    with open_kek(ONE) as kek:
        describe_key(kek)
        describe_access(kek)
        probe_permissions(kek)

    operations = ("C_EncryptInit", "C_DecryptInit", "C_WrapKey", "C_UnwrapKey")
    assert not any(interposer.calls[name] for name in operations)


@pytest.mark.parametrize(
    ("key", "settings", "error"),
    [
        ("token=ksm;object=absent", {}, KeyNotFoundError),
        ("token=absent;object=one", {}, UnavailableError),
        (ONE, {"pin": "0000"}, AuthenticationError),
    ],
)
def test_what_is_in_the_way_is_a_documented_error(
    key: str, settings: dict[str, object], error: type[Exception]
) -> None:
    with open_kek(key, **settings) as kek, pytest.raises(error):
        describe_key(kek)
