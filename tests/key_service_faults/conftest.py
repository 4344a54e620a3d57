"""Run each key service once for a module, and give each test files of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

import ksm_storage
from tests.call_counts.services import SERVICES
from tests.key_service_faults.leading import lead
from tests.key_service_faults.scene import Scene
from tests.key_service_faults.service import EmulatedService, FaultyService
from tests.key_service_faults.soft_hsm import SoftHsm, is_installed
from tests.unit.storage.fixtures import CONFIG

# Whether a retry fits into the deadline is reckoned with the whole pause.
PAUSE_DIVISOR = 100


class Running(NamedTuple):
    """Hold a service that runs, and where a file sealed under its first key is kept."""

    service: FaultyService
    sealed: Path


class Services:
    """Start services when they are first named, and keep them with a sealed file each."""

    def __init__(self, stack: contextlib.ExitStack, folders: pytest.TempPathFactory) -> None:
        self._stack, self._folders = stack, folders
        self._running: dict[str, Running] = {}

    def running(self, service: FaultyService) -> Running:
        """Return what belongs to a service that runs."""
        if service.provider not in self._running:
            sealed = self._folders.mktemp("sealed") / "sealed"
            self._running[service.provider] = Running(service, sealed)
        return self._running[service.provider]

    def emulated(self, provider: str) -> Running:
        """Return the emulator of a provider."""
        if provider not in self._running:
            named, folder = SERVICES[provider], self._folders.mktemp("service")
            emulator, keys, variables = named.begin(EmulatorStarter(self._stack), folder)
            found = {**emulator.environment(), **variables}
            self.running(EmulatedService(provider, emulator, keys, found))
        return self._running[provider]


@pytest.fixture(scope="session")
def soft_hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """Set up tokens; the library reads its configuration once in a process."""
    pytest.importorskip("ksm_storage_entrust_hsm")
    if not is_installed():
        pytest.skip("SoftHSM 2 is not installed: scripts/system-packages does it")
    return SoftHsm(tmp_path_factory.mktemp("softhsm"))


# Not for the session: gRPC's server would abort children that later tests fork.
@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Keep the services that the tests of a module have named, each started once."""
    with contextlib.ExitStack() as stack:
        yield Services(stack, tmp_path_factory)


# Not of a wider scope itself: named beside other parameters, it would end with each test.
@pytest.fixture
def running(request: pytest.FixtureRequest, services: Services) -> Running:
    """Return the service that the test names."""
    if request.param == SoftHsm.provider:
        return services.running(request.getfixturevalue("soft_hsm"))
    if find_spec(SERVICES[request.param].plugin) is None:
        pytest.skip(f"{SERVICES[request.param].plugin} is not installed")
    return services.emulated(request.param)


@pytest.fixture
def service(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyService]:
    """Lead the plugin to the service, which is whole at the start and at the end."""
    lead(running.service, monkeypatch)
    yield running.service
    running.service.heal()


@pytest.fixture
def scene(running: Running, service: FaultyService, tmp_path: Path) -> Scene:
    """Lay a sealed and a plain file into a folder."""
    if not running.sealed.exists():
        storage = ksm_storage.open_storage(running.sealed, keys=service.keys[:1])
        storage.save_storage(CONFIG)
    folder = tmp_path / "files"
    folder.mkdir()
    return Scene(folder, service, running.sealed.read_bytes())


def require_plugins() -> None:
    """Skip the test unless all four emulated services have their plugins."""
    for named in SERVICES.values():
        if find_spec(named.plugin) is None:
            pytest.skip(f"{named.plugin} is not installed")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses of the vendors' clients between two attempts."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / PAUSE_DIVISOR))
