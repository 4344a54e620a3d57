"""The page of call counts says what the emulators count."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

import ksm_storage
from tests.call_counts.services import SERVICES, Measured

PAGE = Path(__file__).parents[1] / "docs/plugins/call-counts.md"
CONFIG = {"hostname": "keepersecurity.eu", "clientId": "x" * 88, "privateKey": "y" * 184}


def documented() -> dict[str, list[str]]:
    """Return the rows of the page's first table by provider, the header below ``provider``."""
    lines = iter(PAGE.read_text(encoding="utf-8").splitlines())
    rows: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("| ") and not line.startswith("| ---"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows[name.strip("`")] = cells
        elif rows and not line.startswith("|"):
            break
    return rows


@pytest.fixture(params=SERVICES)
def measured(
    request: pytest.FixtureRequest,
    start_emulator: EmulatorStarter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Measured:
    """Run the emulator of one provider."""
    service = SERVICES[request.param]
    if find_spec(service.plugin) is None:
        pytest.skip(f"{service.plugin} is not installed")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return service.start(start_emulator, tmp_path, monkeypatch)


def counts(measured: Measured, folder: Path) -> dict[str, str]:
    """Return the calls of each thing that a program does, by the page's headings."""
    path, plain = folder / "new.json", folder / "plain.json"
    plain.write_text(json.dumps(CONFIG), encoding="utf-8")
    first, second = measured.keys
    found: dict[str, str] = {}

    with measured.counting(found, "create"):
        ksm_storage.open_storage(path, keys=[first]).set("hostname", "h")
    with measured.counting(found, "first open"):
        storage = ksm_storage.open_storage(path)
        assert storage.get("hostname") == "h"
    with measured.counting(found, "100 `set`"):
        for number in range(100):
            storage.set("hostname", f"h{number}")
    with measured.counting(found, "re-open"):
        assert ksm_storage.open_storage(path).get("hostname") == "h99"
    with measured.counting(found, "protect"):
        ksm_storage.protect(plain, [first])
    with measured.counting(found, "rewrap, adding a key"):
        ksm_storage.rewrap(path, add=[second])
    with measured.counting(found, "rekey, one key"):
        ksm_storage.rekey(plain)
    return found


def test_the_page_has_a_row_for_each_service_that_is_measured() -> None:
    assert documented().keys() == {"provider", *SERVICES}


def test_the_page_says_what_the_emulator_counts(measured: Measured, tmp_path: Path) -> None:
    table = documented()
    said = dict(zip(table["provider"], table[measured.provider], strict=True))

    assert said == counts(measured, tmp_path)


def test_each_further_key_adds_a_wrap_and_an_unwrap(measured: Measured, tmp_path: Path) -> None:
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps(CONFIG), encoding="utf-8")
    found: dict[str, str] = {}

    with measured.counting(found, "protect"):
        ksm_storage.protect(plain, measured.keys)
    with measured.counting(found, "rekey"):
        ksm_storage.rekey(plain)

    assert found == {"protect": "4", "rekey": "5"}
