"""What a start under a cloud's key imports: no SDK, or one while the collector pauses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

import ksm_storage
from tests.budgets.test_imports_of_a_start import opening
from tests.call_counts.services import SERVICES
from tests.test_imports import loaded
from tests.unit.storage.fixtures import CONFIG

SDKS = {
    "aws-kms": ("botocore",),
    "azure-kv": ("azure", "msal"),
    "gcp-kms": ("google", "grpc"),
    "oracle-kv": ("oci",),
}
# Whoever is asked first for a module notes whether the collector is awake.
SPY = """
import gc, json, sys
awake, asleep = [], []
class Spy:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {roots!r}:
            (awake if gc.isenabled() else asleep).append(name)
sys.meta_path.insert(0, Spy)
import ksm_storage
storage = ksm_storage.open_storage({path!r})
assert gc.isenabled()
print(json.dumps([storage.get("hostname"), awake, asleep]))
"""


@pytest.mark.parametrize("provider", sorted(SERVICES))
def test_the_sdk_is_imported_while_the_collector_pauses(
    provider: str,
    start_emulator: EmulatorStarter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = _sealed(provider, start_emulator, tmp_path, monkeypatch)
    name = f"KSM_STORAGE_{provider.upper().replace('-', '_')}_DIRECT_CALL"
    monkeypatch.setenv(name, "false")
    code = SPY.format(roots=SDKS[provider], path=str(path))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    hostname, awake, asleep = json.loads(done.stdout)

    assert hostname == CONFIG["hostname"]
    assert len(asleep) > 50
    # Some of what the SDK itself puts off until a call.
    assert len(awake) < len(asleep) / 10, awake


def test_the_core_is_imported_while_the_collector_pauses(sealed: Path) -> None:
    code = SPY.format(roots=("ksm_storage", "cryptography"), path=str(sealed))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    _, awake, asleep = json.loads(done.stdout)

    assert len(asleep) > 40
    # Before the pause, and the plugin that the opened file names.
    assert set(awake) == {
        "ksm_storage",
        "ksm_storage.process",
        "ksm_storage.plugin",
        "ksm_storage.providers",
        "ksm_storage.providers.aes_gcm_wrapper",
        "ksm_storage.providers.key_file",
    }


# What defines classes, parses sources, calls hooks or writes logs: a sixth of such a start.
NOT_TO_OPEN_DIRECTLY = {
    "ast",
    "asyncio",
    "copy",
    "dataclasses",
    "importlib.metadata",
    "inspect",
    "logging",
    "pathlib",
    "pluggy",
    "subprocess",
    "tempfile",
}
# The loader of private keys in cryptography defines a dataclass.
OF_PRIVATE_KEYS = {"ast", "copy", "dataclasses", "inspect"}
NEEDED = {"gcp-kms": OF_PRIVATE_KEYS, "oracle-kv": OF_PRIVATE_KEYS}


@pytest.mark.parametrize("provider", sorted(SERVICES))
def test_a_direct_call_loads_none_of_these(
    provider: str,
    start_emulator: EmulatorStarter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = _sealed(provider, start_emulator, tmp_path, monkeypatch)

    names = loaded(opening(path))

    assert {name.partition(".")[0] for name in names} & {*SDKS[provider]} == set()
    assert names & NOT_TO_OPEN_DIRECTLY == NEEDED.get(provider, set())


def _sealed(
    provider: str,
    start_emulator: EmulatorStarter,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return a file sealed under a key of an emulator, which the environment says how to reach."""
    service = SERVICES[provider]
    pytest.importorskip(service.plugin)
    measured = service.start(start_emulator, folder, monkeypatch)
    path = folder / "config"
    ksm_storage.open_storage(path, keys=measured.keys[:1]).save_storage(CONFIG)
    return path
