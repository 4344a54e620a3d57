"""Commands on many files under a KMS key: direct calls, and the AWS client where they fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.listener import Listener

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek

FILES = 12
CONFIG = {"clientId": "C" * 88, "privateKey": "P" * 180, "appKey": "A" * 44, "hostname": "h"}


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count the connections to the emulator."""
    accepted: list[object] = []
    accept = Listener.get_request

    def counted(self: Listener) -> tuple[Any, Any]:
        connection, address = accept(self)
        accepted.append(address)
        return connection, address

    monkeypatch.setattr(Listener, "get_request", counted)
    return accepted


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    paths = [tmp_path / f"{number}.json" for number in range(FILES)]
    for path in paths:
        path.write_text(json.dumps(CONFIG))
    return [str(path) for path in paths]


def run(
    emulator: EmulatedKms, *arguments: str, parallel: int = 1, direct: bool = True
) -> subprocess.CompletedProcess[str]:
    settings = {
        "KSM_STORAGE_AWS_KMS_ENDPOINT": emulator.url,
        "KSM_STORAGE_AWS_KMS_DIRECT_CALL": "yes" if direct else "no",
    }
    given = [*arguments, "--parallel", str(parallel)]
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ksm_storage", *given],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loads_the_client(done: subprocess.CompletedProcess[str]) -> bool:
    return any(line.endswith(" botocore") for line in done.stderr.splitlines())


def test_a_fleet_is_moved_over_one_connection_for_each_key_and_without_the_aws_client(
    emulator: EmulatedKms, files: list[str], connections: list[object]
) -> None:
    old, new = (f"aws-kms://{emulator.create_key()}" for _ in range(2))
    emulator.emulator.transcript.reset()

    protected = run(emulator, "protect", "--key", old, *files)
    assert protected.returncode == 0, protected.stderr
    assert emulator.emulator.transcript.calls() == {"Encrypt": FILES, "Decrypt": FILES}
    assert len(connections) == 1

    moved = run(emulator, "rewrap", "--replace-key", f"{old}={new}", *files)
    assert moved.returncode == 0, moved.stderr
    assert emulator.emulator.transcript.calls() == {"Encrypt": 2 * FILES, "Decrypt": 3 * FILES}
    assert len(connections) == 3

    checked = run(emulator, "check", *files, parallel=4)
    assert checked.returncode == 0, checked.stderr
    assert emulator.emulator.transcript.count("Decrypt") == 4 * FILES
    assert len(connections) <= 3 + 4
    for done in (protected, moved, checked):
        assert not loads_the_client(done)


def test_a_throttled_fleet_loses_no_file(emulator: EmulatedKms, files: list[str]) -> None:
    old, new = (f"aws-kms://{emulator.create_key()}" for _ in range(2))
    assert run(emulator, "protect", "--key", old, *files).returncode == 0
    emulator.emulator.transcript.reset()
    # More than the direct call and the client's one attempt, so that the batch pauses.
    emulator.emulator.faults.add(FaultKind.THROTTLE, operation="Encrypt", times=5)

    moved = run(emulator, "rewrap", "--replace-key", f"{old}={new}", *files, parallel=4)

    assert moved.returncode == 0, moved.stderr
    assert emulator.emulator.transcript.count("Encrypt") >= FILES + 5
    assert loads_the_client(moved)
    assert all(new.removeprefix("aws-kms://").encode() in Path(path).read_bytes() for path in files)


@pytest.mark.parametrize("fault", ["denied", "disabled", "failing", "dropped", "cut off"])
def test_a_failing_fleet_prints_the_same_as_through_the_client_alone(
    emulator: EmulatedKms, files: list[str], fault: str
) -> None:
    arn = emulator.create_key()
    assert run(emulator, "protect", "--key", f"aws-kms://{arn}", *files[:4]).returncode == 0
    printed = []

    with emulator.provoked(fault, arn):
        for direct in (True, False):
            done = run(emulator, "check", "--json", *files[:4], direct=direct)
            told = [
                {name: value for name, value in each["error"].items() if name != "request_id"}
                for each in json.loads(done.stdout)
            ]
            printed.append((done.returncode, told))

    assert printed[0] == printed[1]
    assert printed[0][0] != 0


def test_one_tls_handshake_serves_all_calls(
    tmp_path: Path, connections: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file = tmp_path / "ca.pem"
    with Emulator(AwsKmsService(), authority=PrivateAuthority(), ca_file=ca_file) as running:
        for name, value in running.environment().items():
            if name != "AWS_ENDPOINT_URL":
                monkeypatch.setenv(name, value)
        with open_kek(running.service.create_key().arn, running.url) as kek:
            wrapped = [kek.wrap(bytes(range(32)), aad=AAD) for _ in range(3)]
            opened = [kek.unwrap(each, aad=AAD) for each in wrapped]

    assert opened == [bytes(range(32))] * 3
    assert len(connections) == 1
