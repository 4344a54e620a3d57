"""What the tests of the direct call share: a start in a process of its own, and an error told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_gcp_kms.hooks import Access

from ksm_storage import errors
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import WrappedDek

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek
from .scripted_kms import KEY

STARTING = """
import json, sys
sys.path.insert(0, ".")
from ksm_storage.plugin import WrappedDek
from opening import AAD, DEK, open_kek
key, settings, wrapped = json.loads(sys.argv[1])
wrapped = WrappedDek(wrapped[0], wrapped[1], bytes.fromhex(wrapped[2]))
assert open_kek(key, settings).unwrap(wrapped, aad=AAD) == DEK
clients = {"google", "grpc", "requests", "urllib3"}
print(*sorted({name.partition(".")[0] for name in sys.modules} & clients))
"""


def started(key: str, settings: Mapping[str, object], wrapped: WrappedDek) -> str:
    """Unwrap in a new process, and return which of the client's modules it has imported."""
    given = wrapped.key_id, wrapped.algorithm, wrapped.ciphertext.hex()
    return subprocess.run(
        [sys.executable, "-c", STARTING, json.dumps([key, settings, given])],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.strip()


def told(error: errors.KsmStorageError) -> tuple[Any, ...]:
    """Return what of an error can be compared."""
    # The representation of the client's own exceptions has times in it.
    return type(error), error.as_dict(), type(error.__cause__), error.__context__ is None


def wrapped_dek(
    kms: EmulatedKms, algorithm: str = "GOOGLE_SYMMETRIC_ENCRYPTION"
) -> tuple[str, WrappedDek]:
    """Return a new key and a DEK that it wrapped; the calls are forgotten."""
    key = kms.create_key(algorithm=algorithm)
    version, purpose = key.versions[0].name, key.purpose
    with open_kek(version, kms.settings, purpose=purpose) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    kms.emulator.transcript.reset()
    return version, wrapped


def access_of(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Mapping[str, str],
    variables: Mapping[str, str],
) -> Access:
    """Return what the settings and variables describe; F stands for the path."""
    for name, value in variables.items():
        monkeypatch.setenv(name, str(path) if value == "F" else value)
    given = {name: str(path) if value == "F" else value for name, value in settings.items()}
    options = find_plugin("gcp-kms").options()
    return Access.from_settings(
        gather_settings(KeyUri("gcp-kms", KEY), options, {"gcp-kms": given})
    )
