"""Several keys and several callers: each failure has a name, and no key is the last hope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.errors import (
    KeyNotFoundError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    UnavailableError,
)
from tests.cli.command import run
from tests.regressions_of_others.services import Aws
from tests.unit.storage.fixtures import CONFIG, new_key, write_plain
from tests.unit.storage.planted import Counted

ONE, TWO = "counted://one", "counted://two"


def sealed_under(path: Path, *keys: str) -> Path:
    ksm_storage.protect(write_plain(path), list(keys))
    return path


def test_sops_901_a_rekey_says_which_keys_it_used(folder: Path, counted: Counted) -> None:
    """There, rotating the data key looked as if it took the keys that had been added to the rules,
    and left them out; here, a key falls away by name only, and a rekey returns those now and gone.
    """
    path = sealed_under(folder / "config", ONE)

    assert ksm_storage.rekey(path, add=[TWO]).keys == (ONE, TWO)
    done = ksm_storage.rekey(path, remove=[ONE])

    assert (done.keys, done.removed) == ((TWO,), (ONE,))
    assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG


def test_sops_1900_an_error_lists_each_key_with_its_own_cause(
    folder: Path, key: str, counted: Counted
) -> None:
    """There, the message led away from the one key that could be repaired; here, each key stands
    with its own cause and its own advice.
    """
    path = sealed_under(folder / "config", key, ONE)
    Path(key.removeprefix("key-file://")).unlink()
    counted.fail_with("Denied")

    with pytest.raises(KsmStorageError) as caught:
        ksm_storage.open_storage(path)

    causes = {cause.key: cause for cause in caught.value.causes}
    assert isinstance(causes[key], KeyNotFoundError)
    assert "restore it" in (causes[key].hint or "")
    assert isinstance(causes[ONE], PermissionDeniedError)


def test_sops_1999_a_setting_that_leads_nowhere_is_named(
    folder: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, a variable with a path that could not be used was passed over without a word; here,
    the error names the setting and the path.
    """
    path = sealed_under(folder / "config", aws.new_key())
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_CA_FILE", "/nonexistent/ca.pem")

    with pytest.raises(SettingsError, match=r"'/nonexistent/ca\.pem' of the setting 'ca_file'"):
        ksm_storage.open_storage(path)


def test_aws_encryption_sdk_python_51_the_cause_is_in_the_error(folder: Path, aws: Aws) -> None:
    """There, a caller who may not decrypt is told "unable to decrypt any data key", and the cause
    is in a debug log beside the key; here, the error names the permission.
    """
    from ksm_storage_emulators.aws_kms.identities import allow

    arn = aws.new_key()
    path = sealed_under(folder / "config", arn)
    aws.call_as(aws.new_user(allow("kms:Encrypt", "kms:GenerateDataKey", on=[arn])))

    with pytest.raises(PermissionDeniedError) as caught:
        ksm_storage.open_storage(path)

    assert caught.value.permission == "kms:Decrypt"
    assert caught.value.key == f"aws-kms://{arn}"


@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)], ids=["first", "second"])
def test_aws_encryption_sdk_python_150_one_of_two_keys_opens_each_time(
    folder: Path, counted: Counted, order: tuple[str, str]
) -> None:
    """There, a caller with one of two keys succeeded or not by the order of the wrapped keys; here,
    the place of a key does not matter, and the other is not asked.
    """
    path = sealed_under(folder / "config", *order)
    counted.calls.clear()

    for _ in range(5):
        assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG

    assert counted.calls == [("unwrap", "two")] * 5


def test_go_kms_wrapping_117_the_region_is_that_of_the_key(
    folder: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, regions were mixed up between the configuration and the environment; here, the region
    is in the name of the key, and a setting that contradicts it is refused.
    """
    arn = aws.new_key(region="eu-central-1")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-west-2")

    path = sealed_under(folder / "config", arn)

    assert ksm_storage.open_storage(path).read_storage() == CONFIG
    with pytest.raises(SettingsError, match="us-west-2"):
        ksm_storage.open_storage(path, settings={"aws-kms": {"region": "us-west-2"}})


def test_go_kms_wrapping_280_the_credentials_are_those_that_were_chosen(
    folder: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, credentials of the environment were taken for those that had been configured; here, a
    profile that is given goes before an access key in the environment.
    """
    administrator = aws.emulator.service.administrator
    credentials = folder / "credentials"
    credentials.write_text(
        f"[operator]\naws_access_key_id = {administrator.access_key_id}\n"
        f"aws_secret_access_key = {administrator.secret_access_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    path = sealed_under(folder / "config", aws.new_key())
    aws.call_as(aws.new_user())

    with pytest.raises(PermissionDeniedError):
        ksm_storage.open_storage(path)

    settings = {"aws-kms": {"profile": "operator"}}
    assert ksm_storage.open_storage(path, settings=settings).read_storage() == CONFIG


class Lost:
    """Hold a file whose key service is gone, and the words of its recovery key."""

    def __init__(self, folder: Path, counted: Counted) -> None:
        self.sheet = folder / "sheet"
        self.path = sealed_under(folder / "config", ONE)
        created = run("recovery", "create", "office", "--reveal")
        self.sheet.write_text(created.stdout)
        ksm_storage.rewrap(self.path, add=[created.stdout.splitlines()[0]])
        counted.fail_with("NotFound")

    def use(self, path: Path, *arguments: str) -> Any:
        """Run ``recovery use`` on a file."""
        return run("recovery", "use", str(path), "--words-file", str(self.sheet), *arguments)


@pytest.fixture
def lost(folder: Path, counted: Counted) -> Lost:
    return Lost(folder, counted)


def test_vault_9421_a_file_moves_to_another_key_after_the_first_is_lost(
    lost: Lost, key: str
) -> None:
    """There, nothing could be migrated after the key in the KMS was gone; here, the recovery key
    opens the file and gives it another key.
    """
    done = lost.use(lost.path, "--key", key, "--remove-key", ONE)

    assert done.returncode == 0, done.stderr
    assert ksm_storage.open_storage(lost.path, keys=[key]).read_storage() == CONFIG


def test_vault_15490_a_recovery_key_opens_the_file(lost: Lost) -> None:
    """There, the recovery keys recover nothing: they authorise, and decrypt nothing; here, a
    recovery key is a key, and the drill proves it.
    """
    with pytest.raises((KeyNotFoundError, UnavailableError)):
        ksm_storage.open_storage(lost.path)

    drill = run("recovery", "test", str(lost.path), "--words-file", str(lost.sheet))

    assert drill.returncode == 0, drill.stderr
    assert drill.stdout.startswith("ok ")


def test_vault_20039_a_backup_is_restored_without_the_key_service(
    lost: Lost, folder: Path, tmp_path: Path
) -> None:
    """There, a backup was worth nothing once the KMS had lost its key; here, the recovery secret
    opens a copy of the file, on any machine.
    """
    backup = folder / "backup"
    backup.write_bytes(lost.path.read_bytes())
    lost.path.unlink()
    (tmp_path / "another-machine").mkdir()
    new = new_key(tmp_path / "another-machine/app.key")

    done = lost.use(backup, "--key", new)

    assert done.returncode == 0, done.stderr
    assert ksm_storage.open_storage(backup, keys=[new]).read_storage() == CONFIG
