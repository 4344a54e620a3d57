"""An emulator on loopback, and an environment without anything of the developer's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from .emulated_kms import EmulatedKms
from .scripted_kms import ScriptedKms

_PREFIXES = ("KSM_", "GCE_", "GRPC_", "CLOUDSDK_")


@pytest.fixture(autouse=True)
def _isolated(
    clean_environment: None, parsed_private_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(_PREFIXES)]:
        monkeypatch.delenv(name)
    # Nothing listens there: no test finds the credentials of a machine in Google's cloud.
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:9")


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedKms]:
    kms = EmulatedKms(tmp_path_factory.mktemp("plain"))
    with kms.emulator:
        kms.prepare()
        yield kms


@pytest.fixture(scope="session")
def _running_tls(
    tmp_path_factory: pytest.TempPathFactory, emulator_authority: PrivateAuthority
) -> Iterator[EmulatedKms]:
    kms = EmulatedKms(tmp_path_factory.mktemp("tls"), authority=emulator_authority)
    with kms.emulator:
        kms.prepare()
        yield kms


@pytest.fixture
def kms(_running: EmulatedKms) -> Iterator[EmulatedKms]:
    """Run the emulator without TLS; faults end with the test."""
    _running.emulator.reset()
    yield _running
    _running.emulator.reset()


@pytest.fixture
def slow_kms(tmp_path: Path) -> Iterator[EmulatedKms]:
    """Run an emulator of its own, for calls that are still under way when a test ends."""
    kms = EmulatedKms(tmp_path)
    with kms.emulator:
        kms.prepare()
        yield kms


@pytest.fixture
def kms_tls(_running_tls: EmulatedKms) -> Iterator[EmulatedKms]:
    """Run the emulator behind TLS with a private authority."""
    _running_tls.emulator.reset()
    yield _running_tls
    _running_tls.emulator.reset()


@pytest.fixture
def scripted() -> Iterator[ScriptedKms]:
    """Run a server that answers what a test tells it to."""
    with ScriptedKms() as server:
        yield server


@pytest.fixture
def key_file(_running: EmulatedKms) -> str:
    """Return a key file of the right form, for servers that do not look at tokens."""
    return str(_running.key_file)


@pytest.fixture
def scripted_settings(scripted: ScriptedKms, key_file: str) -> Mapping[str, object]:
    """Return the settings under which the Google client calls the scripted server."""
    return {
        "direct_call": False,
        "endpoint": scripted.url,
        "credential": "service-account",
        "credentials_file": key_file,
    }


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the repeated attempts, which test_deadline.py is about."""
    monkeypatch.setattr("ksm_storage_gcp_kms.client.MAX_ATTEMPTS", 1)
