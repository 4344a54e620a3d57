"""Conformance for plugins that sign: inherit ``SigningConformance`` and name two P-256 keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ..contract.abilities import SignsDigest
from ..contract.key_wrapper import KeyUri
from ..errors import KeyStateError
from ..keys import signing
from ..keys.discovery import Plugin
from ..keys.kek import Kek
from .subject import Opener, Subject

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

THREADS = 8


class SigningConformance(Subject):
    """Hold a plugin to the promises of ``SignsDigest``.

    ``key_id`` and ``other_key_id`` name two P-256 signing keys; the other fixtures of
    :class:`Subject` mean the same as for wrapping.
    """

    @pytest.fixture
    def new_key_id(self) -> str | None:
        """Return a key id that is free, where the plugin creates signing keys."""
        return None

    @pytest.fixture
    def bound(self, open_wrapper: Opener, key_id: str) -> Kek:
        """Return the key as a device opens it: by its resolved name."""
        return self._bound(open_wrapper, key_id)

    @pytest.fixture
    def public_key(self, bound: Kek) -> EllipticCurvePublicKey:
        """Return the public half of the key."""
        return self._public_key(bound)

    def test_a_signature_verifies_under_the_public_key(
        self, bound: Kek, public_key: EllipticCurvePublicKey
    ) -> None:
        digest = _new_digest()

        assert isinstance(bound.wrapper, SignsDigest)
        signature = bound.wrapper.sign_digest(digest)

        assert signing.verifies(public_key, signature, digest), "the digest is signed as it is"

    def test_a_signature_is_der_in_its_one_form(self, bound: Kek) -> None:
        assert isinstance(bound.wrapper, SignsDigest)
        for _ in range(16):
            signature = bound.wrapper.sign_digest(_new_digest())
            assert type(signature) is bytes
            assert signing.is_der_signature(signature), "DER, not r and s side by side"

    @pytest.mark.parametrize("byte", [0x00, 0xFF])
    def test_every_kind_of_digest_is_signed(
        self, bound: Kek, public_key: EllipticCurvePublicKey, byte: int
    ) -> None:
        digest = bytes([byte]) * signing.DIGEST_BYTES

        signature = signing.sign_digest(bound, digest, public_key=public_key)

        assert signing.verifies(public_key, signature, digest)

    def test_a_signature_does_not_hold_for_another_digest(
        self, bound: Kek, public_key: EllipticCurvePublicKey
    ) -> None:
        signature = signing.sign_digest(bound, _new_digest(), public_key=public_key)

        assert not signing.verifies(public_key, signature, _new_digest())

    def test_another_key_is_noticed(
        self, open_wrapper: Opener, other_key_id: str, public_key: EllipticCurvePublicKey
    ) -> None:
        other = self._bound(open_wrapper, other_key_id)

        with pytest.raises(KeyStateError):
            signing.sign_digest(other, _new_digest(), public_key=public_key)

    def test_the_resolved_name_resolves_to_itself(self, bound: Kek) -> None:
        assert signing.signing_key(bound).key_id == bound.uri.key_id

    def test_the_name_that_was_asked_for_covers_the_resolved_one(
        self, plugin: Plugin, bound: Kek, key_id: str
    ) -> None:
        assert plugin.key_covers(key_id, bound.uri.key_id)

    def test_the_public_key_stays_the_same(
        self, open_wrapper: Opener, bound: Kek, key_id: str
    ) -> None:
        again = self._bound(open_wrapper, key_id)

        assert signing.signing_key(again) == signing.signing_key(bound)

    def test_a_signature_is_one_call(
        self,
        bound: Kek,
        public_key: EllipticCurvePublicKey,
        count_calls: Callable[[], int] | None,
    ) -> None:
        if count_calls is None:
            pytest.skip("no fixture 'count_calls' counts the calls that the key service receives")
        signing.sign_digest(bound, _new_digest(), public_key=public_key)
        before = count_calls()

        signing.sign_digest(bound, _new_digest(), public_key=public_key)

        assert count_calls() - before == 1

    def test_eight_threads_share_one_key(
        self, bound: Kek, public_key: EllipticCurvePublicKey
    ) -> None:
        digests = [_new_digest() for _ in range(THREADS)]

        with ThreadPoolExecutor(THREADS) as pool:
            signatures = list(
                pool.map(lambda d: signing.sign_digest(bound, d, public_key=public_key), digests)
            )

        assert all(
            signing.verifies(public_key, signature, digest)
            for signature, digest in zip(signatures, digests, strict=True)
        )

    def test_a_created_key_signs(self, open_wrapper: Opener, new_key_id: str | None) -> None:
        created = self._created(open_wrapper, new_key_id)
        bound = self._bound(open_wrapper, created.key_id)
        digest = _new_digest()

        signature = signing.sign_digest(bound, digest, public_key=self._public_key(bound))

        assert signing.is_der_signature(signature)

    def test_a_key_that_exists_is_not_created_again(
        self, open_wrapper: Opener, new_key_id: str | None
    ) -> None:
        created = self._created(open_wrapper, new_key_id)
        before = signing.signing_key(self._bound(open_wrapper, created.key_id))

        with pytest.raises(KeyStateError):
            self._created(open_wrapper, new_key_id)

        assert signing.signing_key(self._bound(open_wrapper, created.key_id)) == before

    def _created(self, open_wrapper: Opener, new_key_id: str | None) -> KeyUri:
        if new_key_id is None:
            pytest.skip("no fixture 'new_key_id' names a key that the plugin can create")
        asked = Kek(KeyUri(self.provider, new_key_id), open_wrapper(new_key_id))
        return signing.create_signing_key(asked)

    def _bound(self, open_wrapper: Opener, key_id: str) -> Kek:
        asked = Kek(KeyUri(self.provider, key_id), open_wrapper(key_id))
        resolved = signing.signing_key(asked).key_id
        return Kek(KeyUri(self.provider, resolved), open_wrapper(resolved))

    def _public_key(self, bound: Kek) -> EllipticCurvePublicKey:
        public_key = signing.read_public_key(signing.signing_key(bound).public_key)
        assert public_key is not None
        return public_key


def _new_digest() -> bytes:
    return hashlib.sha256(os.urandom(32)).digest()
