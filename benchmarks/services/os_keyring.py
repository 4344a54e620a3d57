"""The keyring of the system: gnome-keyring on a private bus, unlocked and empty."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interleaved import Program, child_environment, python
from benchmarks.services.service import NotMeasuredError, Service, require, variables
from tests.secret_service_daemon import KeyringDaemon, bus, missing_programs

_STORE = """
from keyring.backends.SecretService import Keyring
Keyring().set_password("bench", "one", "00" * 32)
"""
# Without the choice of a back end, which costs more than the rest.
_MINIMAL = """
from keyring.backends.SecretService import Keyring
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
key = bytes.fromhex(Keyring().get_password("bench", "one"))
AESGCM(key).decrypt(bytes(12), AESGCM(key).encrypt(bytes(12), b"value", None), None)
"""


@contextmanager
def running(folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run a private Secret Service, and store a key in it for the floor."""
    require("keyring", "secretstorage")
    if sys.platform != "linux" or missing_programs():
        raise NotMeasuredError(f"not installed: {', '.join(missing_programs()) or 'Linux'}")
    with bus(folder) as address:
        daemon = KeyringDaemon(folder, address)
        try:
            with variables({"DBUS_SESSION_BUS_ADDRESS": address}):
                store = (sys.executable, "-c", _STORE)
                subprocess.run(store, env=dict(child_environment()), check=True)
                service = Service("os-keyring", "OS keyring, GNOME", "os-keyring://bench")
                yield service, python("floor: keyring with AESGCM", "floor", _MINIMAL)
        finally:
            daemon.close()
