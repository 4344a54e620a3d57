"""A keyring of the kernel for one test: a new session that nobody else is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.keys import kernel_keyring

_JOIN_SESSION_KEYRING, _LINK, _UPDATE = 1, 8, 2


def join_new_session() -> None:
    """Leave the session's keyring for an empty one; children inherit it."""
    kernel_keyring._keyctl(_JOIN_SESSION_KEYRING, 0)


def plant(description: str, secret: bytes) -> None:
    """Put an entry into the session's keyring as any program could, with all permissions."""
    # With an end that is far away, as an attacker would write it.
    name, raw = description.encode(), secret + b"\x7f" * kernel_keyring._END_BYTES
    kernel_keyring._add_key(b"user", name, raw, len(raw), -3)


def entry(description: str) -> list[str]:
    """Return the line of /proc/keys of an entry by columns: serial, flags, links, time left, ..."""
    lines = Path("/proc/keys").read_text(encoding="utf-8").splitlines()
    # The kernel removes what was displaced a moment later.
    return next(line.split() for line in lines if f"{description}:" in line)


@pytest.fixture
def session_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test use a session of its own; skip where the kernel has no keyring."""
    try:
        kernel_keyring.find("ksm-storage:", keyring="session")
    except OSError as exc:
        pytest.skip(f"no keyring in this kernel: {exc.strerror}")
    join_new_session()
    monkeypatch.setenv("KSM_STORAGE_CACHE_KEYRING", "session")
