"""``init`` binds into a sealed file, and spends no token before it knows that it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault

import ksm_storage
from ksm_storage.cli.main import main
from tests.cli.command import COMMAND, key_file, run
from tests.unit.storage.planted import Counted, counted

if TYPE_CHECKING:
    from ksm_storage.testing.proxies import Proxies

__all__ = ["counted"]
pytest_plugins = ["ksm_storage.testing.proxies"]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        with running.owner() as owner:
            create_application(owner, APP_NAME)
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.json"


def server(vault: LocalVault) -> list[str]:
    """Return the options that name the vault."""
    key, key_id = vault.server_public_key, vault.server_public_key_id
    named = ["--hostname", vault.address, "--ca-file", vault.ca_file]
    return [*named, "--server-key-id", key_id, "--server-key", key]


def test_the_token_is_asked_for_and_not_echoed(
    vault: LocalVault, path: Path, tmp_path: Path
) -> None:
    token = vault.new_client().token
    arguments = ["init", str(path), "--key", key_file(tmp_path), *server(vault)]
    child = pexpect.spawn(COMMAND, arguments, encoding="utf-8", timeout=20)

    child.expect("one-time token: ")
    child.sendline(token)
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0, child.before
    assert token not in (child.before or "")
    assert ksm_storage.open_storage(path).contains("appKey")


def test_an_interrupt_at_the_prompt_leaves_nothing_behind(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    child = pexpect.spawn(
        COMMAND, ["init", "--key", key], encoding="utf-8", timeout=20, cwd=str(tmp_path)
    )

    child.expect("one-time token: ")
    child.sendintr()
    child.expect("error: interrupted")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 130
    assert [found.name for found in tmp_path.iterdir()] == ["app.key"]


def test_without_a_path_the_file_is_the_one_that_the_sdk_reads(
    vault: LocalVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("init", "--key", key_file(tmp_path), *server(vault), stdin=vault.new_client().token)

    assert done.returncode == 0, done.stderr
    assert ksm_storage.open_storage("client-config.json").contains("appKey")


def test_a_bind_wraps_and_unwraps_once(
    vault: LocalVault, path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_TOKEN", vault.new_client().token)

    code = main(["init", str(path), "--key", "counted://one", *server(vault)])

    assert code == 0
    assert counted.calls == [("wrap", "one"), ("unwrap", "one")]


@pytest.mark.parametrize("profile", [[], ["--profile", "prod"]], ids=["file", "profile"])
def test_a_key_service_that_fails_costs_no_token(
    vault: LocalVault,
    path: Path,
    counted: Counted,
    profile: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KSM_TOKEN", vault.new_client().token)
    command = ["init", str(path), "--key", "counted://one", *profile, *server(vault)]
    counted.fail_with("unavailable")
    refused = main(command)
    left = path.exists()
    counted.fail_with(None)

    assert refused != 0
    assert not left
    assert main(command) == 0


def test_a_damaged_token_leaves_no_file(vault: LocalVault, path: Path, tmp_path: Path) -> None:
    done = run("init", str(path), "--key", key_file(tmp_path), *server(vault), stdin="x" * 42)

    assert done.returncode == 2
    assert not path.exists()


def test_a_key_that_the_file_is_not_under_costs_no_token(
    vault: LocalVault, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    token = vault.new_client().token
    half = ["--proxy", "http://127.0.0.1:1", *server(vault)]
    run("init", str(path), "--key", key_file(tmp_path), *half, stdin=token)

    refused = run(
        "init", str(path), "--key", key_file(tmp_path / "other"), *server(vault), stdin=token
    )

    assert refused.returncode == 6
    assert run("init", str(path), *server(vault), stdin=token).returncode == 0


def test_two_profiles_of_one_file_are_two_devices(
    vault: LocalVault, path: Path, tmp_path: Path
) -> None:
    for name in ("prod", "test"):
        done = run(
            *("init", str(path), "--profile", name, "--key", key_file(tmp_path)),
            *server(vault),
            stdin=vault.new_client().token,
        )
        assert done.returncode == 0, done.stderr

    ids = {ksm_storage.open_storage(path, profile=p).get("clientId") for p in ("prod", "test")}
    listed = run("secret", "list", str(path), "--ca-file", vault.ca_file, "--json")
    assert len(ids) == 2
    assert ksm_storage.open_storage(path).get("clientId") in ids
    assert json.loads(listed.stdout) == []


def test_a_bound_profile_refuses_another_token(
    vault: LocalVault, path: Path, tmp_path: Path
) -> None:
    command = ["init", str(path), "--profile", "prod", "--key", key_file(tmp_path)]
    run(*command, *server(vault), stdin=vault.new_client().token)
    before = path.read_bytes()
    second = vault.new_client().token

    done = run(*command, *server(vault), stdin=second)

    assert done.returncode == 2
    assert "is already bound" in done.stderr
    assert path.read_bytes() == before


def test_init_and_get_reach_the_server_through_the_proxy_of_the_environment(
    vault: LocalVault,
    path: Path,
    tmp_path: Path,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", proxies.http.url)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, .example.com")
    monkeypatch.setenv("KSM_TOKEN", vault.new_client().token)

    code = main(["init", str(path), "--key", key_file(tmp_path), *server(vault)])
    after_init = len(proxies.http.asked)
    listed = main(["secret", "list", str(path), "--ca-file", vault.ca_file])

    assert (code, listed) == (0, 0)
    assert 0 < after_init < len(proxies.http.asked)
    assert set(proxies.http.asked) == {vault.address}
