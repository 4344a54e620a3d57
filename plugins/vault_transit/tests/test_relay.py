"""The official SDK reads through the relay, whose device signs with a key in Transit."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import LocalVault

from .openbao import OpenBao
from .test_device import P256, _run, bind, path, vault

core = pytest.importorskip("keeper_secrets_manager_core")

from keeper_secrets_manager_core.exceptions import KeeperError  # noqa: E402
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage  # noqa: E402

__all__ = ["path", "vault"]


@contextmanager
def relay(path: Path, vault: LocalVault) -> Iterator[subprocess.Popen[str]]:
    """Run the relay as a command, with the environment of the test."""
    command = [sys.executable, "-m", "ksm_storage", "relay", "serve", str(path), "--cache", "0"]
    with subprocess.Popen(
        [*command, "--ca-file", vault.ca_file, "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def official(
    path: Path, bao: OpenBao, vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Bind a device, and return how the official SDK reads the titles of a client's records."""
    bind(path, bao, vault)
    added = _run("relay", "client", "add", str(path), "web", "--record", "alone")
    configuration = base64.b64decode(added).decode()
    assert "deviceKey" not in configuration

    def titles() -> list[str]:
        with monkeypatch.context() as patched:
            patched.setenv("REQUESTS_CA_BUNDLE", f"{path}.relay/ca.pem")
            manager = core.SecretsManager(config=InMemoryKeyValueStorage(configuration))
            return [record.title for record in manager.get_secrets()]

    return titles


def test_a_read_through_the_relay_is_one_signature(
    official: Callable[[], list[str]], path: Path, bao: OpenBao, vault: LocalVault
) -> None:
    with relay(path, vault):
        before = bao.requests("transit/sign", "transit/decrypt")

        assert official() == ["alone"]

        assert bao.requests("transit/sign", "transit/decrypt") == before + 1


def test_a_disabled_device_key_stops_the_relays_clients(
    official: Callable[[], list[str]], path: Path, bao: OpenBao, vault: LocalVault
) -> None:
    name = _config(path)["deviceKey"].rpartition("/")[2].partition("@")[0]
    with relay(path, vault):
        assert official() == ["alone"]
        bao.ask("DELETE", f"transit/keys/{name}/soft-delete")

        with pytest.raises(KeeperError):
            official()
        bao.ask("POST", f"transit/keys/{name}/soft-delete-restore")


def test_clients_outlive_a_kill_and_a_rotation_of_the_device(
    official: Callable[[], list[str]], path: Path, bao: OpenBao, vault: LocalVault
) -> None:
    with relay(path, vault) as process:
        assert official() == ["alone"]
        process.kill()
    key = f"vault-transit://transit/{bao.new_key(options=P256)}"
    rotate = ("device", "rotate", str(path), "--ca-file", vault.ca_file, "--device-key", key)
    _run(*rotate, stdin=vault.new_client().token)

    with relay(path, vault):
        assert official() == ["alone"]


@pytest.mark.skipif(sys.platform != "linux", reason="the start cache is in Linux's keyring")
def test_with_the_start_cache_a_restart_unwraps_nothing(
    official: Callable[[], list[str]],
    path: Path,
    bao: OpenBao,
    vault: LocalVault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ksm_storage.keys import kernel_keyring

    try:
        kernel_keyring.find("ksm-storage:", keyring="user")
    except OSError as exc:
        pytest.skip(f"no keyring in this kernel: {exc.strerror}")
    monkeypatch.setenv("KSM_STORAGE_CACHE", "60")
    with relay(path, vault):
        assert official() == ["alone"]
    before = bao.requests("transit/decrypt")

    with relay(path, vault):
        assert official() == ["alone"]

    assert bao.requests("transit/decrypt") == before


def _config(path: Path) -> Mapping[str, Any]:
    from ksm_storage import open_storage

    return open_storage(os.fspath(path)).read_storage()
