"""A plugin with one fault at a time, chosen by a setting, for the conformance suite to catch."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.plugin import (
    Aad,
    DecryptionError,
    KeyDescription,
    KeyWrapper,
    Option,
    PermissionProbe,
    ProviderError,
    Settings,
    WrappedDek,
    hookimpl,
)
from ksm_storage.testing.memory_kek import (
    ALGORITHM,
    MemoryKek,
    MemoryKeyService,
    MemoryServiceError,
    translated,
)

SERVICE = MemoryKeyService("keys/one", "keys/two")
SERVICE.aliases["alias/one"] = "keys/one"


class Planted(MemoryKek):
    """Do everything right; each subclass below does one thing wrong."""

    def _resolved(self) -> str:
        return SERVICE.aliases.get(self._key_id, self._key_id)

    def describe_key(self) -> KeyDescription:
        return KeyDescription(self._resolved(), "enabled", current_version="1")

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:
        return "1"

    def describe_access(self) -> Mapping[str, str]:
        return {"identity": "planter"}

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        return [PermissionProbe("memory:Decrypt", "open", granted=True)]

    def _refuse_other_names(self, wrapped: WrappedDek) -> None:
        if (wrapped.key_id, wrapped.algorithm) != (self._resolved(), ALGORITHM):
            raise DecryptionError("the DEK was wrapped by another key")


class DecryptsWithoutTheKeysName(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        self._refuse_other_names(wrapped)
        try:
            return SERVICE.decrypt(wrapped.ciphertext, bytes(aad))
        except MemoryServiceError as exc:
            raise translated(exc) from exc


class IgnoresTheKeyId(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped._replace(key_id=self._resolved()), aad=aad)


class IgnoresTheAlgorithm(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped._replace(algorithm=ALGORITHM), aad=aad)


class DropsTheAad(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=Aad({}))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped, aad=Aad({}))


class IgnoresTheAad(Planted):
    """It keeps the AAD beside the ciphertext, and believes what it finds there."""

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        wrapped = super().wrap(dek, aad=aad)
        kept = ",".join(f"{name}={aad[name]}" for name in aad).encode()
        return wrapped._replace(ciphertext=bytes([len(kept)]) + kept + wrapped.ciphertext)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        length = wrapped.ciphertext[0] if wrapped.ciphertext else 0
        kept, rest = wrapped.ciphertext[1 : 1 + length], wrapped.ciphertext[1 + length :]
        pairs = (pair.partition("=") for pair in kept.decode("latin-1").split(",") if pair)
        found = Aad({name: value for name, _, value in pairs})
        return super().unwrap(wrapped._replace(ciphertext=rest), aad=found)


class BindsOnlyTheValues(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=Aad({"": "".join(aad.values())}))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped, aad=Aad({"": "".join(aad.values())}))


class DeniesThatItBindsTheAad(Planted):
    binds_aad = False


class ChangesItsMindAboutTheAad(Planted):
    asked = 0

    @property
    def binds_aad(self) -> bool:  # type: ignore[override]  # the fault
        self.asked += 1
        return self.asked % 2 == 1


class BindsTheOrderOfTheAad(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=Aad({**aad, "order": ",".join(aad)}))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped, aad=Aad({**aad, "order": ",".join(aad)}))


class RefusesLongAads(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        if len(bytes(aad)) > 256:
            raise ProviderError("the AAD is too long")
        return super().wrap(dek, aad=aad)


class NeedsAnAad(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=Aad({"first": next(iter(aad))}))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped, aad=Aad({"first": next(iter(aad))}))


class HasAFixedNonce(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        sealed = self._cipher().encrypt(bytes(12), dek, bytes(aad))
        return WrappedDek(self._resolved(), ALGORITHM, sealed)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        self._refuse_other_names(wrapped)
        try:
            return self._cipher().decrypt(bytes(12), wrapped.ciphertext, bytes(aad))
        except InvalidTag as exc:
            raise DecryptionError("the wrapped DEK does not decrypt") from exc

    def _cipher(self) -> AESGCM:
        return AESGCM(hashlib.sha256(self._resolved().encode()).digest())


class DoesNotEncrypt(Planted):
    """It signs instead, so that only who looks for the DEK notices."""

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        body = os.urandom(12) + dek
        return WrappedDek(self._resolved(), ALGORITHM, body + self._tag(body, aad))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        self._refuse_other_names(wrapped)
        body, tag = wrapped.ciphertext[:44], wrapped.ciphertext[44:]
        if not hmac.compare_digest(tag, self._tag(body, aad)):
            raise DecryptionError("the wrapped DEK does not decrypt")
        return body[12:]

    def _tag(self, body: bytes, aad: Aad) -> bytes:
        return hmac.digest(self._resolved().encode(), body + bytes(aad), "sha256")


class IgnoresTheErrorTable(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        try:
            return super().wrap(dek, aad=aad)
        except ProviderError as exc:
            raise ProviderError("the memory key service failed") from exc

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        try:
            return super().unwrap(wrapped, aad=aad)
        except (ProviderError, DecryptionError) as exc:
            raise ProviderError("the memory key service failed") from exc


class DropsTheCause(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        self._refuse_other_names(wrapped)
        try:
            return SERVICE.decrypt(wrapped.ciphertext, bytes(aad), key_id=self._key_id)
        except MemoryServiceError as exc:
            raise translated(exc) from None


class RaisesTheSdksError(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        self._refuse_other_names(wrapped)
        return SERVICE.decrypt(wrapped.ciphertext, bytes(aad), key_id=self._key_id)


class RepeatsTheSdksText(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        try:
            return super().wrap(dek, aad=aad)
        except ProviderError as exc:
            raise type(exc)(f"it failed: {exc.__cause__}") from exc.__cause__

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        try:
            return super().unwrap(wrapped, aad=aad)
        except (ProviderError, DecryptionError) as exc:
            raise type(exc)(f"it failed: {exc.__cause__}.") from exc.__cause__


class ReturnsJunk(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        try:
            return super().unwrap(wrapped, aad=aad)
        except DecryptionError:
            return os.urandom(32)


class ForgetsTrailingBytes(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped._replace(ciphertext=wrapped.ciphertext[:68]), aad=aad)


class StripsTheDek(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped, aad=aad).strip(b"\0\n")


class ReturnsAByteArray(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return bytearray(super().unwrap(wrapped, aad=aad))  # type: ignore[return-value]  # the fault


class LeavesTheAliasUnresolved(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=aad)._replace(key_id=self._key_id)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return super().unwrap(wrapped._replace(key_id=self._resolved()), aad=aad)


class RenamesItsKeyEachTime(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        wrapped = super().wrap(dek, aad=aad)
        return wrapped._replace(key_id=f"{wrapped.key_id}?{os.urandom(4).hex()}")


class HasSpacesInItsNames(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return WrappedDek("key one", "AES 256", super().wrap(dek, aad=aad).ciphertext)


class LogsTheDek(Planted):
    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        self._refuse_other_names(wrapped)
        try:
            return SERVICE.decrypt(wrapped.ciphertext, bytes(aad), key_id=self._key_id)
        except MemoryServiceError as exc:
            raise translated(exc) from exc


class Prints(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        print("wrapping")
        return super().wrap(dek, aad=aad)


class ShowsTheDekInItsRepr(Planted):
    last = b""

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        self.last = dek
        return super().wrap(dek, aad=aad)

    def __repr__(self) -> str:
        return f"<Planted {self.last!r}>"


class CallsTheServiceWhenOpened(Planted):
    def __init__(self, key_id: str, service: MemoryKeyService | None = None) -> None:
        super().__init__(key_id, service)
        super().wrap(bytes(32), aad=Aad({}))


class CallsTwice(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        super().wrap(dek, aad=aad)
        return super().wrap(dek, aad=aad)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        super().unwrap(wrapped, aad=aad)
        return super().unwrap(wrapped, aad=aad)


class MixesItsThreadsUp(Planted):
    latest = b""

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        self.latest = dek
        if threading.current_thread() is not threading.main_thread():
            MEETING.wait()
        return super().wrap(self.latest, aad=aad)


class ClosesOnce(Planted):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("it is closed")
        self.closed = True


class ClosesEverySession(Planted):
    """It logs out of the token, as PKCS #11 does for all sessions of a process."""

    sessions = 0

    def __init__(self, key_id: str, service: MemoryKeyService | None = None) -> None:
        super().__init__(key_id, service)
        ClosesEverySession.sessions += 1
        self._login = ClosesEverySession.sessions

    def close(self) -> None:
        ClosesEverySession.logged_out_until = ClosesEverySession.sessions

    logged_out_until = 0

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        if self._login <= ClosesEverySession.logged_out_until:
            raise ProviderError("the session is closed")
        return super().unwrap(wrapped, aad=aad)


class BreaksAfterAFailure(Planted):
    broken = False

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        if self.broken:
            raise ProviderError("the circuit is open")
        try:
            return super().unwrap(wrapped, aad=aad)
        except (DecryptionError, ProviderError):
            self.broken = True
            raise

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        try:
            return super().wrap(dek, aad=aad)
        except ProviderError:
            self.broken = True
            raise


class KnowsOnlyTheNameItWasGiven(Planted):
    """It cannot unwrap what was wrapped under the alias's key, nor by the resolved id."""

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        if self._key_id != "keys/one":
            raise DecryptionError("the DEK was wrapped by another key")
        return super().unwrap(wrapped, aad=aad)

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=aad)._replace(key_id=self._resolved() + "/version/1")


class SaysItsKeyIsDisabled(Planted):
    def describe_key(self) -> KeyDescription:
        return replace(super().describe_key(), state="disabled")


class NamesAnotherVersion(Planted):
    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:
        return "0"


class ForgetsThatItsKeyIsPublic(Planted):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return super().wrap(dek, aad=aad)._replace(algorithm="MEMORY-RSA-OAEP")


class KnowsNoCaller(Planted):
    def describe_access(self) -> Mapping[str, str]:
        return {}


class DeniesItsCaller(Planted):
    def probe_permissions(self) -> Sequence[PermissionProbe]:
        return [replace(probe, granted=False) for probe in super().probe_permissions()]


class ForgetsWhatOpeningTakes(Planted):
    def probe_permissions(self) -> Sequence[PermissionProbe]:
        return [replace(probe, need="seal") for probe in super().probe_permissions()]


MEETING = threading.Barrier(8, timeout=30)
PLANTED: dict[str, type[Planted]] = {kind.__name__: kind for kind in Planted.__subclasses__()}


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    return [Option("fault", "Which fault the key wrapper has.", choices=("", *PLANTED))]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    return PLANTED.get(settings.text("fault") or "", Planted)(key_id, SERVICE)


@hookimpl
def recognise_key(text: str) -> str | None:
    return text.removeprefix("memory:") if text.startswith("memory:") else None


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    return SERVICE.aliases.get(trusted) == key_id
