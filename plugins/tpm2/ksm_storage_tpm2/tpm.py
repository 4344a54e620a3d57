"""Use the TPM: one connection for each call, one call at a time, and each answer checked.

Source: TPM 2.0 Library, Parts 2 and 3; the functions are those of tpm2-tss's ESAPI.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from ksm_storage.plugin import (
    Call,
    ServiceClient,
    lock_held,
    translating,
)

from .errors import DeviceError, TpmError, translated
from .hooks import Access, KeyName, Pcrs
from .sealed_form import Policy, Sealed

_Result = TypeVar("_Result")

_PCRS_PER_READ = 8


class Tpm:
    """Run tasks with the TPM within the deadline; safe across threads and forks."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._service: ServiceClient[Access] = ServiceClient(
            lambda: access, deadline=access.deadline, load=_load
        )

    def run(self, task: Callable[[Connection], _Result], call: Call) -> _Result:
        """Return what a task returns for an open connection.

        Raises:
            KsmStorageError: The TPM, its device or the library refused or failed.
        """

        def connected(access: Access) -> _Result:
            with lock_held(_lock()), connection(access) as opened:
                return task(opened)

        with translating(lambda exc: translated(exc, call)):
            return self._service.run(connected)


class Connection:
    """Call the TPM through an open context of the library."""

    def __init__(self, esys: Any) -> None:
        self._esys = esys
        import tpm2_pytss

        self._tss = tpm2_pytss

    @contextmanager
    def key(self, name: KeyName, template: str, attributes: int) -> Iterator[Any]:
        """Lend the handle of a key: a persistent one, or one that is derived for this call.

        Args:
            name: The key.
            template: The kind of key to derive, in the notation of tpm2-tss.
            attributes: The attributes of a derived key.
        """
        if name.handle is not None:
            with step("find"):
                handle = self._esys.tr_from_tpmpublic(name.handle)
            yield handle
            return
        public = self._tss.TPM2B_PUBLIC.parse(template, objectAttributes=attributes)
        # A part of what the key is derived from, so that each label has a key of its own.
        public.publicArea.unique.ecc.x.buffer = hashlib.sha256(name.label.encode()).digest()
        with step("derive"):
            handle = self._esys.create_primary(None, public)[0]
        try:
            yield handle
        finally:
            self._flush(handle)

    def public_area(self, handle: Any) -> Any:
        """Return the public area of a key."""
        with step("find"):
            return self._esys.read_public(handle)[0].publicArea

    def pcr_digest(self, pcrs: Pcrs) -> bytes:
        """Return the digest of the values that the PCRs have now."""
        digest = hashlib.sha256()
        for start in range(0, len(pcrs.numbers), _PCRS_PER_READ):
            part = pcrs._replace(numbers=pcrs.numbers[start : start + _PCRS_PER_READ])
            with step("read PCRs"):
                _, _, values = self._esys.pcr_read(self._selection(part))
            found = [bytes(value) for value in values]
            if len(found) != len(part.numbers):
                # The bank is not allocated: the TPM leaves out what it lacks.
                raise TpmError("read PCRs", 0x84)
            digest.update(b"".join(found))
        return digest.digest()

    def seal(self, parent: Any, secret: bytes, policy: Policy, pin: bytes) -> Sealed:
        """Return a secret as an object that only this parent loads."""
        tss = self._tss
        sensitive = tss.TPM2B_SENSITIVE_CREATE(
            tss.TPMS_SENSITIVE_CREATE(
                userAuth=tss.TPM2B_AUTH(pin), data=tss.TPM2B_SENSITIVE_DATA(secret)
            )
        )
        public = tss.TPM2B_PUBLIC(publicArea=self._sealed_public(policy))
        flags = tss.TPMA_SESSION.DECRYPT
        with self._session(parent, tss.TPM2_SE.HMAC, flags) as session, step("seal"):
            private, made, *_ = self._esys.create(parent, sensitive, public, session1=session)
        return Sealed(policy, made.publicArea.marshal(), bytes(private))

    def unseal(self, parent: Any, sealed: Sealed, pin: bytes) -> bytes | None:
        """Return the secret of an object; None if it has a form that we never make.

        Raises:
            TpmError: Another TPM or parent sealed it, its policy is not fulfilled, or the PIN is
                wrong.
        """
        tss, policy = self._tss, sealed.policy
        try:
            area, read = tss.TPMT_PUBLIC.unmarshal(sealed.public)
        except (tss.TSS2_Exception, ValueError):
            return None
        expected = self._sealed_public(policy)
        expected.unique.keyedHash = area.unique.keyedHash
        if read != len(sealed.public) or expected.marshal() != sealed.public:
            return None
        public = tss.TPM2B_PUBLIC(publicArea=area)
        with step("load"):
            handle = self._esys.load(parent, tss.TPM2B_PRIVATE(sealed.private), public)
        try:
            kind = tss.TPM2_SE.HMAC if policy.is_empty else tss.TPM2_SE.POLICY
            with self._session(parent, kind, tss.TPMA_SESSION.ENCRYPT) as session:
                self._fulfil(session, policy)
                self._esys.tr_set_auth(handle, tss.TPM2B_AUTH(pin))
                with step("unseal"):
                    return bytes(self._esys.unseal(handle, session1=session))
        finally:
            self._flush(handle)

    def sign(self, handle: Any, digest: bytes, pin: bytes) -> bytes:
        """Return the ECDSA signature over a SHA-256 digest as ``r || s``."""
        tss = self._tss
        scheme = tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.ECDSA)
        scheme.details.any.hashAlg = tss.TPM2_ALG.SHA256
        # The empty ticket: the digest need not be made by the TPM, for the key is not restricted.
        ticket = tss.TPMT_TK_HASHCHECK(tag=tss.TPM2_ST.HASHCHECK, hierarchy=tss.TPM2_RH.NULL)
        self._esys.tr_set_auth(handle, tss.TPM2B_AUTH(pin))
        with step("sign"):
            made = self._esys.sign(handle, tss.TPM2B_DIGEST(digest), scheme, ticket)
        signature = made.signature.ecdsa
        # A TPM may omit leading zeros.
        parts = (signature.signatureR, signature.signatureS)
        return b"".join(bytes(part).rjust(32, b"\0") for part in parts)

    def property_of(self, number: int) -> int:
        """Return one of the TPM's fixed or variable properties."""
        tss = self._tss
        with step("read properties"):
            _, data = self._esys.get_capability(tss.TPM2_CAP.TPM_PROPERTIES, number, 1)
        return int(data.data.tpmProperties[0].value)

    def _sealed_public(self, policy: Policy) -> Any:
        tss, attributes = self._tss, self._tss.TPMA_OBJECT
        wanted = attributes.FIXEDTPM | attributes.FIXEDPARENT
        if policy.is_empty:
            wanted |= attributes.USERWITHAUTH
        if not policy.needs_pin:
            # Only a PIN can be guessed; nothing else may lock the TPM for everybody.
            wanted |= attributes.NODA
        area = tss.TPMT_PUBLIC(
            type=tss.TPM2_ALG.KEYEDHASH, nameAlg=tss.TPM2_ALG.SHA256, objectAttributes=wanted
        )
        area.authPolicy = tss.TPM2B_DIGEST(policy.digest())
        area.parameters.keyedHashDetail.scheme.scheme = tss.TPM2_ALG.NULL
        return area

    def _fulfil(self, session: Any, policy: Policy) -> None:
        if policy.pcrs.numbers:
            with step("compare PCRs"):
                digest = self._tss.TPM2B_DIGEST(policy.pcr_digest)
                self._esys.policy_pcr(session, digest, self._selection(policy.pcrs))
        if policy.needs_pin:
            with step("require PIN"):
                self._esys.policy_auth_value(session)

    @contextmanager
    def _session(self, parent: Any, kind: Any, encrypted: Any) -> Iterator[Any]:
        # Salted with the parent, and with encrypted parameters: a probe on the bus of a
        # discrete TPM learns no data key.
        tss = self._tss
        with step("start session"):
            session = self._esys.start_auth_session(
                tpm_key=parent,
                bind=tss.ESYS_TR.NONE,
                session_type=kind,
                symmetric=tss.TPMT_SYM_DEF(
                    algorithm=tss.TPM2_ALG.AES,
                    keyBits=tss.TPMU_SYM_KEY_BITS(sym=128),
                    mode=tss.TPMU_SYM_MODE(sym=tss.TPM2_ALG.CFB),
                ),
                auth_hash=tss.TPM2_ALG.SHA256,
            )
        try:
            flags = encrypted | tss.TPMA_SESSION.CONTINUESESSION
            self._esys.trsess_set_attributes(session, flags)
            yield session
        finally:
            self._flush(session)

    def _selection(self, pcrs: Pcrs) -> Any:
        return self._tss.TPML_PCR_SELECTION.parse(str(pcrs))

    def _flush(self, handle: Any) -> None:
        # Without a resource manager a TPM has three places for keys.
        with suppress(self._tss.TSS2_Exception):
            self._esys.flush_context(handle)


@contextmanager
def connection(access: Access) -> Iterator[Connection]:
    """Open the device for one call; nothing is left in the TPM afterwards.

    Raises:
        DeviceError: The device cannot be opened.
        TpmError: The library cannot reach the TPM.
    """
    import tpm2_pytss

    if access.device is not None:
        # The library's own error does not say why.
        try:
            os.close(os.open(access.device, os.O_RDWR | os.O_CLOEXEC))
        except OSError as exc:
            raise DeviceError(exc) from exc
    with step("connect"):
        esys = tpm2_pytss.ESAPI(access.tcti)
    try:
        yield Connection(esys)
    finally:
        esys.close()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Raise a response code from the block with the name of the step that it answers."""
    from tpm2_pytss import TSS2_Exception

    try:
        yield
    except TSS2_Exception as exc:
        raise TpmError(name, int(exc.rc)) from exc


def _load() -> None:
    # The library prints to standard error by itself, and reads this when it first has something
    # to say. Its errors reach the user as ours.
    os.environ.setdefault("TSS2_LOG", "all+NONE")
    import tpm2_pytss  # noqa: F401


def _lock() -> threading.Lock:
    # By process: a lock that another thread of the parent held at a fork is never released.
    return _locks.setdefault(os.getpid(), threading.Lock())


_locks: dict[int, threading.Lock] = {}
