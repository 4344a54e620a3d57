"""Seal data keys to the TPM and unseal them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from ksm_storage.plugin import (
    DEK_BYTES,
    Aad,
    Call,
    DecryptionError,
    RefusedPins,
    WrappedDek,
    current_deadline,
    der_signature,
    incomplete_reply,
    public_key_of_point,
)

from .errors import (
    AUTH_FAIL,
    BAD_AUTH,
    MOVED,
    PCR_CHANGED,
    POLICY_FAIL,
    VALUE,
    TpmError,
    altered,
    wrong_kind,
)
from .hooks import Access, KeyName
from .sealed_form import Policy, Sealed
from .tpm import Connection, Tpm

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyDescription, PermissionProbe, SigningKey

ALGORITHM = "TPM2_SEALED_OBJECT"

# TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA.
_ORDINARY = 0x00000472
_RESTRICTED, _DECRYPT, _SIGN = 0x00010000, 0x00020000, 0x00040000
STORAGE = ("ecc256:aes128cfb", _ORDINARY | _RESTRICTED | _DECRYPT)
SIGNING = ("ecc256:ecdsa-sha256", _ORDINARY | _SIGN)

_ECC, _P256 = 0x0023, 0x0003

# Of the process: a program that opens a hundred files with one wrong PIN must not try it a
# hundred times, after which the TPM is locked for everybody.
_refused = RefusedPins()


class Pin(NamedTuple):
    """Hold the authorization value made from a PIN, and its mark among the refused PINs."""

    auth: bytes
    mark: bytes

    def __repr__(self) -> str:
        return "<Pin>"


NO_PIN = Pin(b"", b"")


class TpmKeyWrapper:
    """Seal and unseal under one storage key, and sign with one signing key."""

    def __init__(self, name: KeyName, access: Access) -> None:
        self._name = name
        self._access = access
        self._tpm = Tpm(access)

    @property
    def binds_aad(self) -> bool:
        """Tell that another AAD is refused: its digest is sealed with the data key."""
        return True

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Seal the data key to the TPM, the PCRs as they are now, and the PIN.

        Raises:
            KeyNotFoundError: The persistent key does not exist.
            KeyStateError: It is not a storage key.
            KsmStorageError: There is no PIN, or the TPM refused or failed.
        """
        call = self._call("seal")
        pin = self._pin(self._access.needs_pin)

        def task(tpm: Connection) -> bytes:
            with tpm.key(self._name, *STORAGE) as parent:
                self._require(tpm, parent, _RESTRICTED | _DECRYPT, "storage", call)
                policy = Policy(needs_pin=self._access.needs_pin)
                if self._access.pcrs.numbers:
                    digest = tpm.pcr_digest(self._access.pcrs)
                    policy = policy._replace(pcrs=self._access.pcrs, pcr_digest=digest)
                return bytes(tpm.seal(parent, _digest(aad) + dek, policy, pin.auth))

        return WrappedDek(str(self._name), ALGORITHM, self._tpm.run(task, call))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Unseal a data key that this key of this TPM sealed.

        Raises:
            DecryptionError: Another TPM or key sealed it, another AAD, or it was altered.
            KeyStateError: The PCRs have changed.
            AuthenticationError: The PIN is wrong, or the TPM locked.
            KsmStorageError: There is no PIN, or the TPM refused or failed.
        """
        call, sealed = self._call("unseal"), self._read(wrapped)
        pin = self._pin(sealed.policy.needs_pin)

        def task(tpm: Connection) -> bytes | None:
            with tpm.key(self._name, *STORAGE) as parent:
                self._require(tpm, parent, _RESTRICTED | _DECRYPT, "storage", call)
                try:
                    return tpm.unseal(parent, sealed, pin.auth)
                except TpmError as exc:
                    self._judge(exc, tpm, sealed, pin, call)
                    raise

        secret = self._tpm.run(task, call)
        if secret is None or len(secret) != len(_digest(aad)) + DEK_BYTES:
            raise altered(call)
        if not hmac.compare_digest(secret[:-DEK_BYTES], _digest(aad)):
            raise DecryptionError("the data key was sealed for another envelope or context")
        return secret[-DEK_BYTES:]

    def signing_key(self) -> SigningKey:
        """Ask the TPM for the public half of the signing key.

        Raises:
            KeyNotFoundError: The persistent key does not exist.
            KeyStateError: It is not a P-256 signing key.
            KsmStorageError: The TPM refused or failed.
        """
        call = self._call("read the public key")

        def task(tpm: Connection) -> bytes:
            with tpm.key(self._name, *SIGNING) as handle:
                area = self._require(tpm, handle, _SIGN, "P-256 signing", call)
                return _public_key(area, call)

        key = self._tpm.run(task, call)
        from ksm_storage.plugin import SigningKey

        return SigningKey(str(self._name), key)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with the key.

        Raises:
            KeyStateError: It is not a P-256 signing key.
            AuthenticationError: The key requires a PIN, and it is missing or wrong.
            KsmStorageError: The TPM refused or failed.
        """
        call = self._call("sign")
        # A derived key has no PIN of its own: any user of the owner hierarchy can derive it.
        pin = self._pin(self._name.handle is not None and self._access.needs_pin)

        def task(tpm: Connection) -> bytes:
            with tpm.key(self._name, *SIGNING) as handle:
                _public_key(self._require(tpm, handle, _SIGN, "P-256 signing", call), call)
                try:
                    return tpm.sign(handle, digest, pin.auth)
                except TpmError as exc:
                    self._note_refusal(exc, "sign", pin)
                    raise

        signature = der_signature(self._tpm.run(task, call))
        if signature is None:
            raise incomplete_reply("signature", call)
        return signature

    def describe_key(self) -> KeyDescription:
        """Ask the TPM for the key, and for the values of the PCRs to seal to.

        Raises:
            KeyNotFoundError: The persistent key does not exist.
            KsmStorageError: The TPM refused or failed.
        """
        from .description import describe_key

        return self._tpm.run(
            lambda tpm: describe_key(tpm, self._name, self._access), self._call("describe")
        )

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return the PCRs, and their values, that a data key is sealed to; prompts for nothing.

        Raises:
            DecryptionError: Another key sealed it, or it was altered.
        """
        return self._read(wrapped).policy.version

    def describe_access(self) -> Mapping[str, str]:
        """Say which TPM it is, and how many wrong PINs it has counted.

        Raises:
            KsmStorageError: The TPM refused or failed.
        """
        from .description import describe_access

        return self._tpm.run(lambda tpm: describe_access(tpm, self._access), self._call("describe"))

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Find out whether the device may be used.

        Raises:
            KsmStorageError: The TPM refused or failed.
        """
        from .description import probe_permissions

        return probe_permissions(self._tpm, self._call("describe"))

    def close(self) -> None:
        """Do nothing: no connection outlasts a call."""

    def _call(self, operation: str) -> Call:
        place = self._access.place
        used = self._access.device or self._access.tcti
        return Call(operation, str(self._name), place, f"read and write {used}")

    def _read(self, wrapped: WrappedDek) -> Sealed:
        if wrapped.key_id != str(self._name):
            raise DecryptionError(
                f"the data key was sealed by the key {wrapped.key_id!r}, not by {str(self._name)!r}"
            )
        if wrapped.algorithm != ALGORITHM:
            raise DecryptionError(f"unknown wrapping algorithm: {wrapped.algorithm!r}")
        sealed = Sealed.parse(wrapped.ciphertext)
        if sealed is None:
            raise DecryptionError("the wrapped data key is not a sealed object of a TPM")
        return sealed

    def _pin(self, is_needed: bool) -> Pin:
        if not is_needed:
            return NO_PIN
        deadline = current_deadline()
        paused: AbstractContextManager[None] = deadline.paused() if deadline else nullcontext()
        with paused:
            text = self._access.pin.read("TPM key")
        mark = _refused.mark_of(text, self._access.place)
        _refused.check(mark, self._access.place)
        # A TPM takes no more than 32 bytes, and drops zeros at the end.
        auth = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest().rstrip(b"\0")
        return Pin(auth, mark)

    def _judge(self, exc: TpmError, tpm: Connection, sealed: Sealed, pin: Pin, call: Call) -> None:
        """Raise the error for PCRs that moved; remember a PIN that was refused."""
        self._note_refusal(exc, "unseal", pin)
        policy = sealed.policy
        if not policy.pcrs.numbers or exc.code not in (VALUE, POLICY_FAIL, PCR_CHANGED):
            return
        if exc.step in ("compare PCRs", "unseal"):
            now = policy._replace(pcr_digest=tpm.pcr_digest(policy.pcrs))
            raise MOVED.error(call, detail=f"sealed at {policy.version}, now {now.version}")

    @staticmethod
    def _note_refusal(exc: TpmError, step: str, pin: Pin) -> None:
        if pin.mark and exc.step == step and exc.code in (AUTH_FAIL, BAD_AUTH):
            _refused.add(pin.mark)

    @staticmethod
    def _require(tpm: Connection, handle: Any, attributes: int, kind: str, call: Call) -> Any:
        area = tpm.public_area(handle)
        if int(area.objectAttributes) & attributes != attributes:
            raise wrong_kind(call, kind)
        return area


def _public_key(area: Any, call: Call) -> bytes:
    is_p256 = int(area.type) == _ECC and int(area.parameters.eccDetail.curveID) == _P256
    # A restricted key signs only what the TPM has hashed itself.
    if not is_p256 or int(area.objectAttributes) & _RESTRICTED:
        raise wrong_kind(call, "P-256 signing")
    point = area.unique.ecc
    key = public_key_of_point(
        b"\x04" + bytes(point.x).rjust(32, b"\0") + bytes(point.y).rjust(32, b"\0")
    )
    if key is None:
        raise incomplete_reply("public key", call)
    return key


def _digest(aad: Aad) -> bytes:
    return hashlib.sha256(bytes(aad)).digest()
