"""A file stays with the version of a key that wrapped its DEK, and moves on when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core.configkeys import ConfigKeys
from ksm_storage_emulators.emulator import Emulator

import ksm_storage
from ksm_storage.errors import DecryptionError, KeyStateError
from tests.regressions_of_others.services import Azure
from tests.unit.storage.fixtures import CONFIG, write_plain


@pytest.fixture
def gcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator[Any]]:
    """Make an emulator the Cloud KMS of this process."""
    pytest.importorskip("ksm_storage_gcp_kms")
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService

    with Emulator(GcpKmsService()) as emulator:
        account = emulator.service.write_key_file(tmp_path / "account.json", url=emulator.url)
        prefix = "KSM_STORAGE_GCP_KMS"
        monkeypatch.setenv(f"{prefix}_CREDENTIAL", "service-account")
        monkeypatch.setenv(f"{prefix}_CREDENTIALS_FILE", str(account))
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


def without_version(kid: str) -> str:
    return kid.rpartition("/")[0]


def test_storage_1_1_0_an_azure_key_without_version_may_be_rotated(
    folder: Path, azure: Azure, official_azure: Any
) -> None:
    """There, a file under a key that is named without version never opens again once the key was
    rotated; here, the file records the version that wrapped, and asks for that one.
    """
    first = azure.new_key()
    key = without_version(first.kid)
    official_azure(key, write_plain(folder / "official"))
    ksm_storage.protect(write_plain(folder / "ours"), [key])

    azure.rotate(key)

    with pytest.raises(Exception, match="BadParameter"):
        official_azure(key, folder / "official")
    assert ksm_storage.open_storage(folder / "ours").read_storage() == CONFIG


def test_azure_sdk_for_net_36269_a_pin_without_version_trusts_older_versions(
    folder: Path, azure: Azure
) -> None:
    """There, a client that was given the key without version unwrapped with the newest one and
    failed; here, such a pin trusts each version, and the one in the file unwraps.
    """
    first = azure.new_key()
    key = without_version(first.kid)
    ksm_storage.protect(write_plain(folder / "config"), [key])
    azure.rotate(key)

    storage = ksm_storage.open_storage(folder / "config", keys=[key])

    assert storage.read_storage() == CONFIG
    assert first.kid in (folder / "config").read_text()


def test_pulumi_22338_a_rotation_is_followed_before_the_old_version_goes(
    folder: Path, azure: Azure
) -> None:
    """There, nothing said how to move on after a rotation; here, a rewrap by the same key takes the
    newest version, and the old one can be disabled.
    """
    first = azure.new_key()
    key = without_version(first.kid)
    path = write_plain(folder / "config")
    ksm_storage.protect(path, [key])
    second = azure.rotate(key)

    done = ksm_storage.rewrap(path, replace={key: key})
    first.enabled = False

    assert done.keys == (f"azure-kv://{second.kid}",)
    assert ksm_storage.open_storage(path, keys=[key]).read_storage() == CONFIG


def test_go_kms_wrapping_43_a_key_with_one_byte_too_many_is_refused(
    folder: Path, azure: Azure
) -> None:
    """There, a managed HSM returned 33 bytes and the cipher failed far from the cause; here, the
    length of a DEK is checked where it comes in.
    """
    from ksm_storage_emulators.faults import FaultKind

    key = azure.new_hsm_key().kid
    storage = ksm_storage.open_storage(folder / "config", keys=[key])
    storage.set(ConfigKeys.KEY_HOSTNAME, "h")
    azure.emulator.faults.add(FaultKind.OVER_LONG_KEY)

    with pytest.raises(DecryptionError, match="must be 32 bytes"):
        ksm_storage.open_storage(folder / "config")


def test_storage_1_1_0_a_google_key_without_version_is_resolved(
    folder: Path, gcp: Emulator[Any], official_gcp_key: Any
) -> None:
    """There, a key without version becomes ``cryptoKeyVersions/None``; here, the file records the
    version that Cloud KMS says it used.
    """
    name = gcp.service.create_key("app").name
    parts = name.split("/")
    official = official_gcp_key(
        project=parts[1], location=parts[3], key_ring=parts[5], key_name=parts[7]
    )
    assert official.to_resource_name() == f"{name}/cryptoKeyVersions/None"

    done = ksm_storage.protect(write_plain(folder / "ours"), [name])

    assert done.keys == (f"gcp-kms://{name}/cryptoKeyVersions/1",)


def test_sops_1764_a_rekey_leaves_the_old_version_of_a_google_key(
    folder: Path, gcp: Emulator[Any]
) -> None:
    """There, a file was lost when the old version of a rotated key was destroyed after a rotation
    of the file; here, a rekey wraps by the version that is primary then, and the file says which.
    """
    from ksm_storage_emulators.gcp_kms.keys import State

    key = gcp.service.create_key("app")
    path = write_plain(folder / "config")
    ksm_storage.protect(path, [key.name])
    gcp.service.rotate(key)

    done = ksm_storage.rekey(path)
    key.versions[0].state = State.DESTROYED

    assert done.keys == (f"gcp-kms://{key.name}/cryptoKeyVersions/2",)
    assert ksm_storage.open_storage(path).read_storage() == CONFIG
    with pytest.raises(KeyStateError):
        ksm_storage.protect(write_plain(folder / "other"), [f"{key.name}/cryptoKeyVersions/1"])


@pytest.fixture
def official_gcp_key() -> Any:
    """Give the official name of a Google key."""
    from keeper_secrets_manager_storage_gcp_kms.kms_key_config import GCPKeyConfig

    return GCPKeyConfig
