"""Broken set-ups of a PKCS #11 token: each error says what to mend."""

from __future__ import annotations

import _ctypes
import os
from pathlib import Path

import pytest

from ksm_storage.errors import (
    AuthenticationError,
    KeyNotFoundError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.testing.broken_setups import (
    SECRET,
    BrokenSetup,
    Machine,
    assert_finishes_the_job,
)

from .opening import AAD, DEK, ONE, open_kek

pytestmark = pytest.mark.usefixtures("soft_token")

AUTH, SET = AuthenticationError, SettingsError
B = BrokenSetup


def pin_file(m: Machine, content: str | bytes, *, mode: int = 0o600) -> Machine:
    return m.options(pin_file=m.file("pin", content, mode=mode))


def foreign(path: str) -> bytes:
    """Return a library of Linux with the number of another processor in its header."""
    library = bytearray(Path(path).read_bytes())
    library[18:20] = b"\xff\x7f"
    return bytes(library)


def pin_pipe(m: Machine, content: bytes) -> Machine:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return m.options(pin_fd=reading)


SETUPS = {
    "wrong PIN": B(lambda m: m.options(pin=SECRET), AUTH, "PIN"),
    "PIN with a line end inside": B(lambda m: m.options(pin=f"{SECRET}\nx"), SET, "PIN"),
    "PIN with a NUL": B(lambda m: m.options(pin=f"{SECRET}\0"), SET, "NUL"),
    "PIN too long": B(lambda m: m.options(pin=SECRET * 200), SET, "PIN"),
    "PIN empty": B(lambda m: m.options(pin=""), SET, "PIN"),
    "PIN file missing": B(lambda m: m.options(pin_file="/no/such"), SET, "PIN file"),
    "PIN file empty": B(lambda m: pin_file(m, ""), SET, "PIN"),
    "PIN file of two lines": B(lambda m: pin_file(m, f"{SECRET}\n{SECRET}\n"), SET, "line"),
    "PIN file not UTF-8": B(lambda m: pin_file(m, b"\xff\xfe\xff"), SET, "UTF-8"),
    "PIN file a folder": B(lambda m: m.options(pin_file=str(m.folder)), SET, "PIN file"),
    "PIN file for everybody": B(
        lambda m: pin_file(m, SECRET, mode=0o666), PermissionDeniedError, "chmod"
    ),
    "PIN by an empty pipe": B(lambda m: pin_pipe(m, b""), AUTH, "pin_file"),
    "PIN by a closed descriptor": B(lambda m: m.options(pin_fd=987), SET, "pin_fd"),
    "library missing": B(lambda m: m.options(module="/no/such.so"), SET, "no such file"),
    "library is no library": B(
        lambda m: m.options(module=m.file("x.so", "no library")), SET, "not a shared library"
    ),
    "library of another program": B(
        lambda m: m.options(module=_ctypes.__file__), SET, "no function C_GetFunctionList"
    ),
    "library is a folder": B(lambda m: m.options(module=str(m.folder)), SET, "a folder"),
    "library for another processor": B(
        lambda m: m.options(module=m.file("x.so", foreign(_ctypes.__file__))),
        SET,
        "built for another processor",
    ),
    "library cut off": B(
        lambda m: m.options(module=m.file("x.so", b"\x7fELF")), SET, "must be complete"
    ),
    "two keys of one label": B(
        lambda m: m.options(key="token=ksm;object=twin"),
        KeyNotFoundError,
        "id=%06;type=secret-key, or id=%07;type=secret-key",
    ),
    "unknown token": B(
        lambda m: m.options(key="token=nobody;object=one"), UnavailableError, "token"
    ),
    "unknown key": B(lambda m: m.options(key="token=ksm;object=nobody"), KeyNotFoundError, "key"),
}


@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    setup = SETUPS[name]
    setup.break_it(machine)
    key = str(machine.settings.pop("key", ONE))

    with pytest.raises(KsmStorageError) as caught, open_kek(key, **machine.settings) as kek:
        kek.wrap(DEK, aad=AAD)

    assert_finishes_the_job(caught.value, setup)
