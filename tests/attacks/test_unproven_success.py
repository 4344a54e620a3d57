"""No success without an unwrap: new files under useless keys, and reports from a forged header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.config.document import Document
from ksm_storage.errors import DecryptionError, PermissionDeniedError, SettingsError
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import create_document
from tests.attacks.claims import the_attacker
from tests.unit.storage.fixtures import CONFIG, names_in, write_plain
from tests.unit.storage.planted import Counted


@pytest.fixture
def recovery() -> str:
    return f"recovery://{RecoveryKey.of('office', bytes(32)).public_id}"


@pytest.fixture
def tampered(sealed: Path) -> Path:
    """Seal a file and change its revision, which only the header MAC shows."""
    text = sealed.read_text()
    changed = text.replace("\nrevision: 1\n", "\nrevision: 7\n")
    assert changed != text
    sealed.write_text(changed)
    return sealed


@the_attacker("gives the caller a key that wraps and does not unwrap, or only recovery keys")
@pytest.mark.parametrize(
    "keys", [["counted://wrap-only"], ["counted://one", "counted://wrap-only"]]
)
def test_a_key_that_only_wraps_prepares_no_new_file(
    keys: list[str], folder: Path, counted: Counted
) -> None:
    with pytest.raises(PermissionDeniedError):
        ksm_storage.open_storage(folder / "config", keys=keys)

    assert names_in(folder) == []


@the_attacker("gives the caller a key that wraps and does not unwrap, or only recovery keys")
def test_a_key_that_only_wraps_creates_no_document(folder: Path, counted: Counted) -> None:
    policy = OpenPolicy.from_args(["counted://wrap-only"], None, None)

    with pytest.raises(PermissionDeniedError):
        create_document(folder / "config", policy, Document.single({"hostname": "h"}))

    assert names_in(folder) == []


@the_attacker("gives the caller a key that wraps and does not unwrap, or only recovery keys")
@pytest.mark.parametrize("profile", [[], ["--profile", "prod"]], ids=["file", "profile"])
def test_a_key_that_only_wraps_costs_no_token(
    profile: list[str],
    folder: Path,
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A host that nobody serves: a token that was sent would be another error.
    monkeypatch.setenv("KSM_TOKEN", "localhost:" + "A" * 43)
    path = str(folder / "config")

    code = main(["init", path, "--key", "counted://wrap-only", *profile])

    assert code == PermissionDeniedError.exit_code
    assert "may wrap and not unwrap" in capsys.readouterr().err
    assert names_in(folder) == []


@the_attacker("gives the caller a key that wraps and does not unwrap, or only recovery keys")
def test_recovery_keys_alone_prepare_no_new_file(folder: Path, recovery: str) -> None:
    with pytest.raises(SettingsError, match="only recovery keys"):
        ksm_storage.open_storage(folder / "config", keys=[recovery])

    assert names_in(folder) == []


@the_attacker("gives the caller a key that wraps and does not unwrap, or only recovery keys")
@pytest.mark.parametrize(
    "command", [["init"], ["init", "--profile", "prod"], ["profile", "import"]], ids=" ".join
)
def test_no_command_creates_a_file_under_recovery_keys_alone(
    command: list[str], folder: Path, tmp_path: Path, recovery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_TOKEN", "localhost:" + "A" * 43)
    source = []
    if command[0] == "profile":
        source = [str(write_plain(tmp_path / "plain.json"))]
    name, *rest = command
    words = [name, *rest, str(folder / "config"), *source, "--key", recovery]
    if name == "init":
        words = [name, str(folder / "config"), *rest, "--key", recovery]

    assert main(words) == SettingsError.exit_code
    assert names_in(folder) == []


@the_attacker("changes a sealed file and waits for a command that has nothing to do")
def test_a_rewrap_with_nothing_to_do_opens_the_file(tampered: Path, key: str) -> None:
    with pytest.raises(DecryptionError):
        ksm_storage.rewrap(tampered, add=[key])


@the_attacker("changes a sealed file and waits for a command that has nothing to do")
@pytest.mark.parametrize(
    "words",
    [
        ["rewrap", "--add-key", "KEY"],
        ["protect", "--key", "KEY"],
        ["protect"],
        ["status"],
        ["status", "--dry-run"],
        ["check", "--dry-run"],
    ],
    ids=" ".join,
)
def test_no_command_reports_success_for_an_altered_file(
    words: list[str], tampered: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = [key if word == "KEY" else word for word in words]
    before = tampered.read_bytes()
    if words == ["protect"]:
        options = ["--key", key, "--json"]

    code = main([command, str(tampered), *options])

    assert code == DecryptionError.exit_code
    assert "does not open" in "".join(capsys.readouterr())
    assert tampered.read_bytes() == before


@the_attacker("changes a sealed file and waits for a command that has nothing to do")
@pytest.mark.parametrize(
    "words",
    [
        ["rewrap", "--add-key", "KEY", "--dry-run"],
        ["protect", "--key", "KEY", "--dry-run"],
        ["rekey", "--dry-run"],
    ],
    ids=["rewrap", "protect", "rekey"],
)
def test_a_dry_run_refuses_what_the_run_would_refuse(
    words: list[str], tampered: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = [key if word == "KEY" else word for word in words]

    code = main([command, str(tampered), *options])

    assert code == DecryptionError.exit_code
    assert "does not open" in capsys.readouterr().err


@the_attacker("changes a sealed file and waits for a command that has nothing to do")
def test_the_status_of_headers_alone_says_that_it_verified_nothing(
    sealed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(sealed), "--offline", "--json"]) == 0

    (found,) = json.loads(capsys.readouterr().out)
    assert found["verified"] is False


@the_attacker("changes a sealed file and waits for a command that has nothing to do")
def test_the_status_of_a_file_that_opens_is_verified(
    sealed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(sealed), "--json"]) == 0

    printed = capsys.readouterr().out
    assert json.loads(printed)[0]["verified"] is True
    assert CONFIG["privateKey"] not in printed
