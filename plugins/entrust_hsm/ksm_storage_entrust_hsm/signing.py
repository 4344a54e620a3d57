"""Sign with a P-256 key pair of the token: the device key that never leaves the HSM."""

from __future__ import annotations

from ctypes import byref, c_ubyte

from ksm_storage import plugin as kit

from . import cryptoki as ck
from .cryptoki import CryptokiError, MechanismArgument
from .keys import Key, OpenSession

# The DER form of prime256v1, which CKA_EC_PARAMS holds. Source: RFC 5480, 2.1.1.1.
P256 = bytes.fromhex("06082a8648ce3d030107")
# CKA_EC_POINT is an OCTET STRING around the point; some libraries leave that out.
_OCTET_STRING = b"\x04\x41"

CREATE = (
    "create one: pkcs11-tool --login --keypairgen --key-type EC:prime256v1 --label device --id 01"
)


def signing_key(session: OpenSession, key: Key) -> kit.SigningKey:
    """Return the public key of the pair; the token must hold exactly one.

    Raises:
        KeyStateError: It is not a P-256 pair, or its public key is missing.
    """
    module = session.module
    kind = key.key_type == ck.CKK_EC and module.bytes_of(
        session.handle, key.handle, ck.CKA_EC_PARAMS
    )
    if kind != P256 or key.wrapping_handle is None:
        raise kit.not_a_signing_key(key.name, create=CREATE)
    point = module.bytes_of(session.handle, key.wrapping_handle, ck.CKA_EC_POINT)
    found = kit.public_key_of_point(point.removeprefix(_OCTET_STRING))
    if found is None:
        raise kit.not_a_signing_key(key.name, create=CREATE)
    return kit.SigningKey(str(key.name), found)


def sign(session: OpenSession, key: Key, digest: bytes) -> bytes | CryptokiError:
    """Return ``r || s``, or the error of the one call that may have signed.

    The error is returned: raised, it would have the session renewed and the digest signed again.

    Raises:
        KeyStateError: The key may not sign.
        CryptokiError: The token refused before it signed.
    """
    if key.key_type != ck.CKK_EC:
        raise kit.not_a_signing_key(key.name, create=CREATE)
    mechanism = MechanismArgument(ck.CKM_ECDSA, None, 0)
    session.module.call("C_SignInit", session.handle, byref(mechanism), key.handle)
    buffer = (c_ubyte * len(digest)).from_buffer_copy(digest)
    try:
        return session.module.output_of("C_Sign", session.handle, buffer, len(digest))
    except CryptokiError as exc:
        return exc
