"""The client for asyncio with the local vault, over a sealed configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import FILE_CONTENT, LocalVault, SampleContent

import ksm_storage.aio
from ksm_storage.engine import (
    CreateOptions,
    KeeperFileUpload,
    RecordCreate,
    StaleRevisionError,
    TokenRedeemedError,
)
from ksm_storage.engine.aio import SecretsManager
from ksm_storage.errors import StorageError
from tests.unit.storage.fixtures import new_key


async def connect(vault: LocalVault, path: Path, *, token: str | None = None) -> SecretsManager:
    """Return a client over a sealed file, which is made if there is a token."""
    keys = [new_key(path.parent / "k")] if token else None
    return SecretsManager(
        token=token,
        hostname=vault.address,
        config=await ksm_storage.aio.open_storage(path, keys=keys),
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
    )


async def bound(vault: LocalVault, tmp_path: Path) -> SecretsManager:
    manager = await connect(vault, tmp_path / "c.json", token=vault.new_client().token)
    assert await manager.bind()
    return manager


def test_a_program_reads_by_uid_title_notation_and_folder(
    vault: LocalVault, filled: SampleContent, tmp_path: Path
) -> None:
    async def test() -> None:
        manager = await bound(vault, tmp_path)

        records, folders, (alone,) = await asyncio.gather(
            manager.get_secrets(), manager.get_folders(), manager.get_secrets([filled.alone])
        )

        assert filled.in_child in {record.uid for record in records}
        assert filled.folder in {folder.folder_uid for folder in folders}
        assert alone.password == "password-of-alone"
        assert await manager.get_notation("keeper://alone/field/password") == alone.password
        assert await manager.download_file(alone.files[0]) == FILE_CONTENT
        assert await manager.get_notation("keeper://alone/file/all.bin") == FILE_CONTENT

    asyncio.run(test())


def test_a_bound_file_is_opened_again(vault: LocalVault, filled: Any, tmp_path: Path) -> None:
    async def test() -> None:
        await bound(vault, tmp_path)
        again = await connect(vault, tmp_path / "c.json")

        assert await again.get_secret_by_title("alone") is not None

    asyncio.run(test())


def test_a_program_writes_records_files_and_folders(
    vault: LocalVault, filled: SampleContent, tmp_path: Path
) -> None:
    async def test() -> None:
        manager = await bound(vault, tmp_path)
        new = RecordCreate("login", "Made with await")
        new.fields = []

        uid = await manager.create_secret(filled.folder, new)
        (made,) = await manager.get_secrets(uid)
        await manager.upload_file(made, KeeperFileUpload("a.txt", data=b"content"))
        (made,) = await manager.get_secrets(uid)
        assert await manager.download_file(made.files[0]) == b"content"

        made.title = "Changed"
        await manager.save(made)
        with pytest.raises(StaleRevisionError):
            await manager.save(made)
        assert (await manager.get_secrets(uid))[0].title == "Changed"

        child = await manager.create_folder(CreateOptions(filled.folder), "Below")
        await manager.update_folder(child, "Renamed")
        assert "Renamed" in {folder.name for folder in await manager.get_folders()}
        await manager.delete_folder(child, force_deletion=True)
        await manager.delete_secret(uid)
        assert await manager.get_secrets(uid) == []

    asyncio.run(test())


def test_a_token_is_redeemed_once_by_calls_at_the_same_time(
    vault: LocalVault, filled: SampleContent, tmp_path: Path
) -> None:
    async def test() -> None:
        token = vault.new_client().token
        manager = await connect(vault, tmp_path / "c.json", token=token)

        await asyncio.gather(*(manager.get_secrets() for _ in range(8)))

        (tmp_path / "other").mkdir()
        second = await connect(vault, tmp_path / "other" / "c.json", token=token)
        with pytest.raises(TokenRedeemedError):
            await second.get_secrets()

    asyncio.run(test())


def test_the_loop_goes_on_while_a_file_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def test() -> None:
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        storage = await ksm_storage.aio.open_storage(
            tmp_path / "c.json", keys=[new_key(tmp_path / "k")]
        )
        during = turns - before
        counting.cancel()

        assert storage.is_empty()
        assert during > 1

    asyncio.run(test())


def test_an_error_of_the_opening_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        asyncio.run(ksm_storage.aio.open_storage(tmp_path / "nothing.json"))
