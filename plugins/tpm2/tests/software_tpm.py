"""A TPM of its own for the tests: swtpm, started, stopped, cleared and extended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

DEBUG_PCR = 16  # the one that may be reset
_SECONDS = 20.0


class SoftwareTpm:
    """Run swtpm on two ports of this machine, with its state in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_ports()
        self._handles: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def tcti(self) -> str:
        """What the plugin's option of this name is given."""
        return f"swtpm:host=127.0.0.1,port={self._port}"

    @property
    def settings(self) -> dict[str, object]:
        """The settings that reach it."""
        return {"tcti": self.tcti}

    def start(self) -> None:
        """Turn the power on."""
        command = [
            *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._folder}"),
            *("--server", f"type=tcp,port={self._port}"),
            *("--ctrl", f"type=tcp,port={self._port + 1}"),
            *("--flags", "not-need-init,startup-clear"),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + _SECONDS
        while not self._answers():
            assert time.monotonic() < end, "swtpm did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """Turn the power off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def power_cycle(self) -> None:
        """Turn the power off and on: PCRs are as at the start, sessions and loaded keys gone."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def esys(self) -> Iterator[Any]:
        """Lend the library's own interface."""
        import tpm2_pytss

        context = tpm2_pytss.ESAPI(self.tcti)
        try:
            yield context
        finally:
            context.close()

    def extend(self, pcr: int = DEBUG_PCR) -> None:
        """Extend a PCR, as other firmware does."""
        import tpm2_pytss as tss

        digest = tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256)
        digest.digest.sha256 = os.urandom(32)
        with self.esys() as esys:
            esys.pcr_extend(tss.ESYS_TR(pcr), tss.TPML_DIGEST_VALUES([digest]))

    def reset(self, pcr: int = DEBUG_PCR) -> None:
        """Give a PCR its first value back."""
        import tpm2_pytss as tss

        with self.esys() as esys:
            esys.pcr_reset(tss.ESYS_TR(pcr))

    def clear(self) -> None:
        """Clear the TPM: all its keys are lost."""
        import tpm2_pytss as tss

        with self.esys() as esys:
            esys.clear(tss.ESYS_TR.LOCKOUT)
        self._handles.clear()

    def persistent(self, template: str, handle: int, attributes: int, *, auth: bytes = b"") -> str:
        """Return the key id of a persistent key, which is made if it is not there yet."""
        import tpm2_pytss as tss

        if handle in self._handles:
            return f"0x{handle:08x}"
        self._handles.add(handle)
        sensitive = tss.TPM2B_SENSITIVE_CREATE(
            tss.TPMS_SENSITIVE_CREATE(userAuth=tss.TPM2B_AUTH(auth))
        )
        public = tss.TPM2B_PUBLIC.parse(template, objectAttributes=attributes)
        with contextlib.suppress(AttributeError):
            public.publicArea.unique.ecc.x.buffer = os.urandom(32)
        with self.esys() as esys:
            key = esys.create_primary(sensitive, public)[0]
            esys.evict_control(tss.ESYS_TR.OWNER, key, handle)
            esys.flush_context(key)
        return f"0x{handle:08x}"

    def set_owner_auth(self, auth: bytes, *, before: bytes = b"") -> None:
        """Give the owner's hierarchy another authorization value."""
        import tpm2_pytss as tss

        with self.esys() as esys:
            esys.tr_set_auth(tss.ESYS_TR.OWNER, tss.TPM2B_AUTH(before))
            esys.hierarchy_change_auth(tss.ESYS_TR.OWNER, tss.TPM2B_AUTH(auth))

    def lock_after(self, tries: int) -> None:
        """Let the TPM lock itself after so many wrong PINs."""

        with self.esys() as esys:
            esys.dictionary_attack_parameters(tries, 1000, 1000)

    def unlock(self) -> None:
        """Forget the wrong PINs."""
        import tpm2_pytss as tss

        with self.esys() as esys:
            esys.dictionary_attack_lock_reset(tss.ESYS_TR.LOCKOUT)

    def allocate_sha1(self, pcrs: bytes) -> None:
        """Choose which PCRs the bank has, as a bitmap; counts after a power cycle."""
        import tpm2_pytss as tss

        selection = tss.TPMS_PCR_SELECTION(hash=tss.TPM2_ALG.SHA1, sizeofSelect=3, pcrSelect=pcrs)
        with self.esys() as esys:
            esys.pcr_allocate(tss.TPML_PCR_SELECTION([selection]))
        self.power_cycle()

    def counted(self) -> int:
        """Return how many wrong PINs the TPM has counted."""
        import tpm2_pytss as tss

        with self.esys() as esys:
            _, data = esys.get_capability(tss.TPM2_CAP.TPM_PROPERTIES, 0x20E, 1)
            return int(data.data.tpmProperties[0].value)

    def _answers(self) -> bool:
        from tpm2_pytss import TSS2_Exception

        try:
            with self.esys() as esys:
                esys.get_random(8)
        except TSS2_Exception:
            return False
        return True

    def __enter__(self) -> SoftwareTpm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _free_ports() -> int:
    # The library takes the port after the given one for its second channel.
    for _ in range(100):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    pytest.fail("no two free ports")
