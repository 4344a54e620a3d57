"""What is read from the environment, what is left in folders, and what errors and logs say."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.errors import (
    EnvelopeError,
    KsmStorageError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from tests.cli.command import run
from tests.regressions_of_others.full_disk import no_room
from tests.regressions_of_others.services import Aws
from tests.secret_service_daemon import KeyringDaemon
from tests.unit.storage.fixtures import CONFIG, names_in, write_plain

SECRET = "canary-of-the-app-key"
INI = """\
[_config]
active_profile = prod

[prod]
clientid = Q0xJRU5U
hostname = keepersecurity.eu

[test]
clientid = T1RIRVI=
hostname = keepersecurity.com
"""


def test_storage_1_1_0_the_variable_for_the_file_is_read(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, official_oracle_class: Any
) -> None:
    """There, the Google and Oracle storages name ``KSM_CONFIG_FILE`` and never reach it; here, it
    names the file where none is given.
    """
    monkeypatch.setenv("KSM_CONFIG_FILE", str(sealed))
    with pytest.raises(TypeError):
        official_oracle_class("key", None, None, None, None)

    assert ksm_storage.open_storage().read_storage() == CONFIG


def test_storage_1_1_0_an_error_names_the_file_and_keeps_its_cause(folder: Path) -> None:
    """There, exceptions lose their cause, and some the name of the file; here, both are kept."""
    path = folder / "not-there" / "config"

    with pytest.raises(StorageError) as caught:
        ksm_storage.protect(path, ["key-file:///app.key"])

    assert str(path) in caught.value.message
    assert isinstance(caught.value.__cause__, OSError)


def test_storage_1_1_0_a_failed_read_is_not_called_a_failed_write(
    folder: Path, sealed: Path, aws: Aws, official_aws: Any
) -> None:
    """There, a file that does not decrypt "failed to write"; here, it is called what it is."""
    path = write_plain(folder / "official")
    official = official_aws(aws.new_key(), path)
    path.write_bytes(b"damaged")
    with pytest.raises(Exception, match="Failed to write decrypted config"):
        official.decrypt_config()

    sealed.write_bytes(b"damaged")
    with pytest.raises(EnvelopeError, match="is not an envelope") as caught:
        ksm_storage.open_storage(sealed)
    assert "writ" not in caught.value.message


@pytest.mark.parametrize("tail", ["", "}", "]", ": 1}", '"}, x'], ids=range(5))
def test_cli_1_5_0_no_exception_holds_a_secret(folder: Path, key: str, tail: str) -> None:
    """There, what does not parse is repeated in the message; here, no error and no cause of one
    shows what a file holds.
    """
    path = folder / "config"
    path.write_text('{"appKey": "' + SECRET + tail)

    with pytest.raises(KsmStorageError) as caught:
        ksm_storage.protect(path, [key])

    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in json.dumps(caught.value.as_dict())


def test_storage_1_1_0_a_write_error_is_not_swallowed(sealed: Path) -> None:
    """There, the AWS-secret storage logs a failed write and goes on; here, the caller learns it."""
    storage = ksm_storage.open_storage(sealed)

    with no_room(), pytest.raises(StorageError):
        storage.save_storage({"hostname": "h"})


def test_storage_1_1_0_no_log_holds_the_configuration(
    folder: Path, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    """There, the debug log shows the whole configuration; here, no logger shows a value, those of
    the key service's client included, which print the DEK by themselves.
    """
    arn = aws.new_key()
    config = {**CONFIG, "appKey": SECRET}
    level = logging.getLogger("ksm").level  # perhaps set by the official client

    with caplog.at_level(1):
        ksm_storage.protect(write_plain(folder / "config", config), [arn])
        ksm_storage.open_storage(folder / "config").set("hostname", "host-canary")

    assert aws.calls()["Decrypt"] == 2
    for value in (SECRET, CONFIG["privateKey"], "host-canary", "Plaintext"):
        assert value not in caplog.text
    assert logging.getLogger("ksm").level == level


def run_python(code: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_ksm_831_a_missing_sdk_is_no_error_of_others() -> None:
    """There, importing a storage without its cloud SDK raises for everybody; here, the plugin
    without its SDK is an error when it is used, and all else works.
    """
    pytest.importorskip("ksm_storage_aws_kms")
    without = "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None;"

    told = run_python(
        without + "\ntry: import keeper_secrets_manager_hsm.storage_aws_kms"
        "\nexcept Exception as exc: print(exc)"
    )
    assert "Missing import dependencies: boto3" in told

    told = run_python(
        without + "import ksm_storage;"
        "from ksm_storage.keys.kek import Kek; from ksm_storage.contract.key_wrapper import KeyUri;"
        "from ksm_storage.contract.key_wrapper import Aad;"
        "from ksm_storage.errors import KsmStorageError\n"
        "kek = Kek.open(KeyUri.parse('aws-kms://alias/app'), {'aws-kms': {'region': 'eu-west-1'}})"
        "\ntry: kek.wrap(bytes(32), aad=Aad({}))"
        "\nexcept KsmStorageError as exc: print(type(exc).__name__)"
    )
    assert told.startswith("Plugin")


def test_ksm_828_tests_do_not_see_the_developers_keyring(private_home: Path) -> None:
    """There, tests wrote to the real keyring of whoever ran them; here, each test has a bus of its
    own, on which nothing answers unless it starts a keyring there.
    """
    assert os.environ["DBUS_SESSION_BUS_ADDRESS"].startswith(f"unix:path={private_home}")
    with pytest.raises(UnavailableError):
        ksm_storage.protect(write_plain(private_home / "c"), ["os-keyring://default"])


def test_ksm_804_a_keyring_does_not_hide_the_profiles_of_a_file(
    folder: Path, secret_service: KeyringDaemon
) -> None:
    """There, a keyring that is active hides the ``keeper.ini``, and the profile is silently empty;
    here, the keyring holds the key alone, and the file all profiles.
    """
    path = folder / "keeper.ini"
    path.write_text(INI)

    ksm_storage.protect(path, ["os-keyring://default"])

    assert ksm_storage.open_storage(path).get("clientId") == "Q0xJRU5U"
    assert ksm_storage.open_storage(path, profile="test").get("clientId") == "T1RIRVI="
    with pytest.raises(SettingsError, match="absent"):
        ksm_storage.open_storage(path, profile="absent")


@pytest.fixture
def in_the_environment(sealed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have the sealed configuration in the environment alone, in an empty working folder."""
    monkeypatch.setenv("KSM_STORAGE_CONFIG", base64.b64encode(sealed.read_bytes()).decode())
    sealed.unlink()
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    return tmp_path / "working"


def test_secrets_manager_246_no_file_is_left_in_the_working_folder(
    in_the_environment: Path,
) -> None:
    """There, a ``keeper.ini`` appeared in the working folder although everything came from the
    environment; here, nothing does, whether the application works or is refused.
    """
    storage = ksm_storage.open_storage()

    with pytest.raises(StorageError):
        storage.set("hostname", "other")
    assert run("providers").returncode == 0
    assert run("check", "absent.json").returncode == 7

    assert names_in(in_the_environment) == []


def test_secrets_manager_863_a_configuration_needs_no_file(in_the_environment: Path) -> None:
    """There, a pipeline had to write the configuration to a file and remember to delete it; here,
    the sealed one is read from a variable.
    """
    assert ksm_storage.open_storage().read_storage() == CONFIG


@pytest.fixture
def official_oracle_class() -> Any:
    """Give the official Oracle storage itself."""
    from keeper_secrets_manager_storage_oracle_kms.oracle_key_value_storage import (
        OracleKeyValueStorage,
    )

    return OracleKeyValueStorage
