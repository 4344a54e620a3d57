"""``doctor`` and ``status`` over the wire: one thing is broken at each service at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.contract.abilities import Need
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.doctor.remedies import remedy
from tests.call_counts.services import SERVICES
from tests.doctor.cloud import GRANTS, forbid
from tests.doctor.conftest import Findings
from tests.key_service_faults.service import DEADLINES, EmulatedService
from tests.key_service_faults.soak_keys import ADMINISTRATORS, Rotates
from tests.unit.storage.fixtures import CONFIG

Doctor = Callable[..., Findings]

# Each permission to open and to seal.
PERMISSIONS: list[tuple[str, Need]] = [
    (provider, need) for provider in GRANTS for need in ("open", "seal")
]


@pytest.fixture
def service(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmulatedService]:
    """Run the service that the test names, for this test alone: it is broken here."""
    named = SERVICES[request.param]
    if find_spec(named.plugin) is None:
        pytest.skip(f"{named.plugin} is not installed")
    with contextlib.ExitStack() as stack:
        emulator, keys, variables = named.begin(EmulatorStarter(stack), tmp_path)
        found = {**emulator.environment(), **variables, DEADLINES[named.provider]: "3"}
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        yield EmulatedService(named.provider, emulator, keys, found)


@pytest.fixture
def sealed(service: EmulatedService, tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    ksm_storage.open_storage(path, keys=[service.keys[0]]).save_storage(CONFIG)
    return path


def each_service(function: Callable[..., None]) -> Callable[..., None]:
    """Run a test for each service."""
    marked: Callable[..., None] = pytest.mark.parametrize("service", SERVICES, indirect=True)(
        function
    )
    return marked


@each_service
def test_with_nothing_broken_there_is_no_problem(
    service: EmulatedService, sealed: Path, doctor: Doctor
) -> None:
    found = doctor(sealed)

    [key] = found.keys
    assert (found.code, found.problems, found.missing()) == (0, [], [])
    assert key["state"] == "enabled"
    assert key["plugin"].startswith("ksm-storage-")
    assert key["libraries"]
    assert key["access"]
    assert {probe["need"] for probe in key["permissions"]} >= {"open", "seal"}


@each_service
def test_a_disabled_key_is_named(service: EmulatedService, sealed: Path, doctor: Doctor) -> None:
    administrator(service).switch(on=False)

    found = doctor(sealed)

    assert found.code == 4
    assert found.problems[0] == "KeyStateError"
    assert found.keys[0]["state"] == "disabled"
    hint = found.keys[0]["problems"][0]["hint"]
    key = KeyUri.parse(found.keys[0]["key"])
    assert hint == f"run: {remedy(key, 'disabled')}"


@each_service
def test_a_service_that_drops_each_connection_is_out_of_reach(
    service: EmulatedService, sealed: Path, doctor: Doctor
) -> None:
    service.strike("dropped connection", None)

    found = doctor(sealed)

    service.heal()
    assert found.code == 5
    assert set(found.problems) == {"UnavailableError"}
    assert found.files[0]["revision"] == "1"
    assert found.keys[0]["plugin"].startswith("ksm-storage-")


@pytest.mark.parametrize(("service", "need"), PERMISSIONS, indirect=["service"])
def test_a_missing_permission_is_named_with_what_grants_it(
    service: EmulatedService, sealed: Path, doctor: Doctor, need: Need
) -> None:
    forbid(service, need)

    found = doctor(sealed, "--for", "seal")
    to_open = doctor(sealed)

    [missing] = [
        probe
        for probe in found.keys[0]["permissions"]
        if probe["granted"] is False and probe["need"] != "describe"
    ]
    assert missing["need"] == need
    permission = GRANTS[service.provider][need][0].removesuffix("Key")
    assert permission.lower() in missing["permission"].lower()
    assert missing["grant"]
    assert found.code == 4
    assert to_open.code == (4 if need == "open" else 0)


@each_service
def test_status_tells_what_was_wrapped_before_a_rotation(
    service: EmulatedService, sealed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[[trust]]\nstatus = { require_current_version = true }\n")

    before = main(["status", str(sealed), "--check", str(policy)])
    administrator(service).rotate()
    after = main(["status", str(sealed), "--check", str(policy)])
    capsys.readouterr()
    renewed = main(["rewrap", str(sealed), "--refresh"])
    again = main(["status", str(sealed), "--check", str(policy)])

    assert (before, after, renewed, again) == (0, 6, 0, 0)


@each_service
def test_status_names_the_file_that_a_destroyed_version_would_take_along(
    service: EmulatedService, sealed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    administrator(service).rotate()
    newer = tmp_path / "newer.json"
    ksm_storage.open_storage(newer, keys=[whole_key(service)]).save_storage(CONFIG)
    capsys.readouterr()
    main(["status", str(sealed), "--json"])
    version = told_version(capsys.readouterr().out)

    code = main(
        [
            "status",
            str(sealed),
            str(newer),
            "--would-lose",
            whole_key(service),
            "--version",
            version,
        ]
    )

    assert code == 6
    assert capsys.readouterr().out == f"{sealed}\n"


def whole_key(service: EmulatedService) -> str:
    """Return the URI of the first key without a version."""
    key = service.keys[0]
    return key.rpartition("/")[0] if service.provider == "azure-kv" else key


def administrator(service: EmulatedService) -> Rotates:
    """Return the administrator of the first key."""
    made: Rotates = ADMINISTRATORS[service.provider](service.emulator.service, whole_key(service))
    return made


def told_version(printed: str) -> str:
    """Return the version of the one recipient that ``status`` printed."""
    [file] = json.loads(printed)
    [recipient] = file["recipients"]
    return str(recipient["version"])
