"""A connection that was made before a fork is not used after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .emulated_kms import EmulatedKms

# In a process of its own: forking the test runner would fork the emulator's threads as well.
PROGRAM = """
import json, os, signal, sys
from opening import AAD, DEK, open_kek
key, settings = sys.argv[1], json.loads(sys.argv[2])
kek = open_kek(key, settings)
wrapped = kek.wrap(DEK, aad=AAD)
client = kek._wrapper._client
before = client._held._clients[os.getpid()]
child = os.fork()
if child == 0:
    signal.alarm(20)
    ok = kek.unwrap(wrapped, aad=AAD) == DEK
    mine = client._held._clients[os.getpid()]
    ok = ok and mine is not before
    kek.close()
    os._exit(0 if ok else 3)
_, status = os.waitpid(child, 0)
assert kek.unwrap(wrapped, aad=AAD) == DEK
assert client._held._clients[os.getpid()] is before
print(status)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_a_child_makes_a_connection_of_its_own_and_the_parents_goes_on(kms: EmulatedKms) -> None:
    import json

    key = kms.create_key()

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, key.name, json.dumps(kms.settings)],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=40,
    )

    assert ran.stdout == "0\n"
    assert kms.emulator.transcript.calls() == {"Encrypt": 1, "Decrypt": 2}
