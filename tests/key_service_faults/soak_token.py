"""Administer the keys of a token from a process of its own, as another program does beside us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.key_service_faults.soft_hsm import SoftHsm

# By python-pkcs11, which is an implementation that is not ours.
_ADMINISTER = """
import os
import sys
import pkcs11
from pkcs11 import Attribute
token = pkcs11.lib(os.environ["KSM_STORAGE_PKCS11_MODULE"]).get_token(token_label="ksm")
with token.open(rw=True, user_pin=os.environ["KSM_STORAGE_PKCS11_PIN"]) as session:
    keys = [session.get_key(label=label) for label in ("one", "two")]
    for line in sys.stdin:
        for key in keys:
            key[Attribute.ENCRYPT] = key[Attribute.DECRYPT] = line == "on\\n"
        print("done", flush=True)
"""


class TokenAdministrator:
    """Enable and disable both keys of a token; it gives them no versions, for there are none."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def switch(self, *, on: bool) -> None:
        """Let the keys encrypt and decrypt, or neither."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("on\n" if on else "off\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def token_administrator(hsm: SoftHsm) -> Iterator[TokenAdministrator]:
    """Start the administrator's process, and end it."""
    with subprocess.Popen(
        [sys.executable, "-c", _ADMINISTER],
        env={**os.environ, **hsm.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield TokenAdministrator(process)
