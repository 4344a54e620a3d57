"""What each start loads, and what it does not: the budget of a cold start, held exactly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ksm_storage
from tests.cli.command import key_file

SDKS = {"boto3", "botocore", "azure", "google", "grpc", "oci", "pkcs11", "keyring", "requests"}
TERMINAL = {"rich", "click"}
# Each of these costs milliseconds and is needed by no process that opens a sealed file.
NEVER_TO_OPEN = {
    "configparser",
    "hashlib",
    "importlib.metadata",
    "logging",
    "pathlib",
    "platformdirs",
    "queue",
    "random",
    "tempfile",
    "tomllib",
    "urllib.parse",
    "ksm_storage.config.recognise",
    "ksm_storage.envelope.sealing",
    "ksm_storage.envelope.hedging",
    "ksm_storage.storage.protecting",
    "ksm_storage.storage.rewrapping",
    "ksm_storage.files.replacement",
    "ksm_storage.storage.plaintext_source",
}


def loaded(code: str, *, site: bool = True) -> set[str]:
    """Return the modules that a fresh process has loaded after the code, beyond its own start."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, *([] if site else ["-S"]), "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_but_its_first_module() -> None:
    names = loaded("import ksm_storage")

    assert {name for name in names if name.startswith("ksm_storage")} == {"ksm_storage"}
    assert not names & (SDKS | TERMINAL | {"cryptography", "pluggy"})


def test_importing_the_errors_loads_no_cryptography() -> None:
    names = loaded("import ksm_storage.errors")

    assert not names & (SDKS | TERMINAL | {"cryptography", "pluggy"})


def test_importing_what_an_application_imports_loads_no_sdk() -> None:
    names = loaded("from ksm_storage import open_storage, protect")

    assert not names & (SDKS | TERMINAL)


def test_listing_the_providers_imports_none_of_them() -> None:
    listing = "from ksm_storage.keys.discovery import find_entry_points; find_entry_points()"
    names = loaded(listing)

    assert not names & SDKS
    assert not {name for name in names if ".providers" in name or name.startswith("ksm_storage_")}
    assert "importlib.metadata" not in names


@pytest.mark.parametrize("name", sorted(NEVER_TO_OPEN))
def test_opening_a_sealed_file_does_not_load(name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"hostname": "keepersecurity.eu"}')
    ksm_storage.protect(path, [key_file(tmp_path)])

    names = loaded(f"import ksm_storage; ksm_storage.open_storage({str(path)!r}).get('hostname')")

    assert name not in names
    assert not names & (SDKS | TERMINAL)


def test_help_loads_no_cryptography_and_no_command() -> None:
    code = (
        "from ksm_storage.cli.main import main; sys.stdout = sys.stderr; main(['--help']); "
        "sys.stdout = sys.__stdout__"
    )
    names = loaded(code)

    assert not names & (SDKS | {"rich", "cryptography", "pluggy"})
    assert "ksm_storage.cli.protect" not in names
