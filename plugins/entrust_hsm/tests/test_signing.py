"""A device key in a token signs, and nothing else stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from ksm_storage_entrust_hsm.key_wrapper import Pkcs11KeyWrapper

from ksm_storage.plugin import KeyStateError, ProviderError, UnavailableError
from ksm_storage.testing.signing_tests import SigningConformance

from .interposer import Interposer, once
from .opening import open_kek
from .soft_token import SoftToken

DIGEST = bytes(range(32))
KEY = "token=ksm;object=sign-one"


class TestSigning(SigningConformance):
    """The promises of the ability, over SoftHSM."""

    provider = "pkcs11"

    @pytest.fixture
    def settings(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        return settings

    @pytest.fixture
    def key_id(self, interposer: Interposer) -> str:
        return KEY

    @pytest.fixture
    def other_key_id(self) -> str:
        return "token=ksm;object=sign-two"

    @pytest.fixture
    def count_calls(self, interposer: Interposer) -> Callable[[], int]:
        return lambda: interposer.calls["C_Sign"]


Opened = Callable[[str], Pkcs11KeyWrapper]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Return what opens a key; a session that stayed open would keep the token logged in."""
    with ExitStack() as stack:

        def open_key(key: str) -> Pkcs11KeyWrapper:
            wrapper = stack.enter_context(open_kek(key)).wrapper
            assert isinstance(wrapper, Pkcs11KeyWrapper)
            return wrapper

        yield open_key


@pytest.mark.parametrize("name", ["one", "rsa-one", "sign-other", "sign-half"])
@pytest.mark.usefixtures("soft_token")
def test_a_key_of_another_kind_is_refused(opened: Opened, name: str) -> None:
    with pytest.raises(KeyStateError, match="not a P-256 signing key") as caught:
        opened(f"token=ksm;object={name}").signing_key()

    assert "prime256v1" in str(caught.value.hint)


def test_a_key_that_may_no_longer_sign_stops_the_device(
    opened: Opened, soft_token: SoftToken
) -> None:
    key = opened("token=ksm;object=sign-switched")
    assert key.sign_digest(DIGEST)

    soft_token.switch_signing("sign-switched", on=False)
    with pytest.raises(KeyStateError):
        key.sign_digest(DIGEST)
    assert key.describe_key().state == "unusable"
    assert [(each.permission, each.granted) for each in key.probe_permissions()] == [
        ("CKA_SIGN", False)
    ]
    soft_token.switch_signing("sign-switched", on=True)

    assert key.sign_digest(DIGEST)
    assert key.describe_key().state == "enabled"


def test_a_signature_that_may_have_been_made_is_not_made_again(
    opened: Opened, soft_token: SoftToken, interposer: Interposer
) -> None:
    key = opened(KEY)
    assert key.sign_digest(DIGEST)
    before = interposer.calls["C_Sign"]

    with interposer.answering(C_Sign=0x30), pytest.raises(UnavailableError):
        key.sign_digest(DIGEST)

    assert interposer.calls["C_Sign"] == before + 1
    assert key.sign_digest(DIGEST)


def test_a_lost_session_is_renewed_before_anything_is_signed(
    opened: Opened, soft_token: SoftToken, interposer: Interposer
) -> None:
    key = opened(KEY)
    assert key.sign_digest(DIGEST)

    with interposer.answering(C_SignInit=once(0xB3)):
        assert key.sign_digest(DIGEST)


def test_a_signature_of_another_length_is_refused(
    opened: Opened, soft_token: SoftToken, interposer: Interposer
) -> None:
    key = opened(KEY)

    def cut(real: Callable[..., int], *arguments: object) -> int:
        done = int(real(*arguments))
        arguments[-1].contents.value = 63  # type: ignore[attr-defined]  # a pointer of ctypes
        return done

    with interposer.answering(C_Sign=cut), pytest.raises(ProviderError, match="63 bytes"):
        key.sign_digest(DIGEST)
