"""PKCS #11 with SoftHSM 2: a minimal script with python-pkcs11.

The official class runs nShield's own programs and takes no other library, so it is left out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interleaved import Program, python
from benchmarks.services.service import NotMeasuredError, Service, require, variables

LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
PIN = "4711"

_OPENED = """
import pkcs11
token = pkcs11.lib({library!r}).get_token(token_label="bench")
with token.open(rw={rw}, user_pin={pin!r}) as session:
"""
_MAKE = """
    key = session.generate_key(pkcs11.KeyType.AES, 256, label="one", store=True)
    print(key.encrypt(bytes(32), mechanism=pkcs11.Mechanism.AES_GCM,
        mechanism_param=pkcs11.GCMParams(bytes(12), None, 128)).hex())
"""
_MINIMAL = """
    key = session.get_key(label="one", object_class=pkcs11.ObjectClass.SECRET_KEY)
    assert key.decrypt(bytes.fromhex({blob!r}), mechanism=pkcs11.Mechanism.AES_GCM,
        mechanism_param=pkcs11.GCMParams(bytes(12), None, 128))
"""


@contextmanager
def running(folder: Path) -> Iterator[tuple[Service, Program]]:
    """Make a token of SoftHSM 2 with one AES key."""
    require("ksm_storage_entrust_hsm", "pkcs11")
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None or shutil.which("softhsm2-util") is None:
        raise NotMeasuredError("SoftHSM 2 is not installed: scripts/system-packages does it")
    tokens, configuration = folder / "tokens", folder / "softhsm2.conf"
    tokens.mkdir()
    configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    wanted = {
        "SOFTHSM2_CONF": str(configuration),
        "KSM_STORAGE_PKCS11_MODULE": library,
        "KSM_STORAGE_PKCS11_PIN": PIN,
    }
    with variables(wanted):
        floor = _floor(library)
        yield Service("pkcs11", "PKCS #11, SoftHSM 2", "pkcs11:token=bench;object=one"), floor


def _floor(library: str) -> Program:
    pins = ("--pin", PIN, "--so-pin", PIN)
    _output("softhsm2-util", "--init-token", "--free", "--label", "bench", *pins)
    made = _OPENED.format(library=library, rw=True, pin=PIN) + _MAKE
    blob = _output(sys.executable, "-c", made).strip()
    minimal = _OPENED.format(library=library, rw=False, pin=PIN) + _MINIMAL.format(blob=blob)
    return python("floor: python-pkcs11, one decrypt", "floor", minimal)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
