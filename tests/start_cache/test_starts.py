"""A start with a kept data key makes no call to the key service and imports no SDK: exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

import ksm_storage
from tests.call_counts.services import SERVICES
from tests.unit.storage.fixtures import CONFIG

START = """
import sys
before = set(sys.modules)
import ksm_storage
hostname = ksm_storage.open_storage({path!r}).get("hostname")
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
import json
print(json.dumps([hostname, sorted(n for n in loaded if n not in sys.stdlib_module_names)]))
"""


def started(path: Path) -> tuple[str, set[str]]:
    """Return what a fresh process reads, and the packages of others that it loads for that."""
    code = START.format(path=str(path))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    hostname, loaded = json.loads(done.stdout)
    # cryptography and cffi have parts whose names begin with an underscore.
    return hostname, {name for name in loaded if not name.startswith("_")}


@pytest.mark.parametrize("provider", sorted(SERVICES))
def test_the_second_start_makes_no_call_and_loads_no_sdk(
    provider: str,
    start_emulator: EmulatorStarter,
    session_keyring: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = SERVICES[provider]
    pytest.importorskip(service.plugin)
    measured = service.start(start_emulator, tmp_path, monkeypatch)
    path = tmp_path / "config"
    ksm_storage.open_storage(path, keys=measured.keys[:1]).save_storage(CONFIG)
    monkeypatch.setenv("KSM_STORAGE_CACHE", "60")
    found: dict[str, str] = {}

    with measured.counting(found, "first"):
        ksm_storage.open_storage(path)
    measured.emulator.transcript.reset()
    hostname, loaded = started(path)

    assert hostname == CONFIG["hostname"]
    assert found == {"first": "1"}
    # Nothing at all was sent: no sign-in either.
    assert measured.emulator.transcript.calls() == {}
    assert loaded == {"cryptography", "ksm_storage"}


def test_a_start_without_the_cache_loads_none_of_it(sealed: Path) -> None:
    from tests.test_imports import loaded

    names = loaded(f"import ksm_storage; ksm_storage.open_storage({str(sealed)!r})")

    assert not names & {
        "ctypes",
        "ksm_storage.keys.dek_cache",
        "ksm_storage.keys.kernel_keyring",
    }
