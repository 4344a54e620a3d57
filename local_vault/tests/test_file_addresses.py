"""Addresses of files end, and are good for what they were made for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.owner.session import owner_session
from ksm_storage_local_vault.server.files import new_upload_ticket, store_content

from ksm_storage.serving.addresses import LIFE_MILLISECONDS, FileAddresses
from ksm_storage.serving.requests import RequestRejected

FILE, CLIENT = "F" * 22, "C" * 86 + "=="


@pytest.mark.parametrize(
    ("life", "allowed"), [(0, True), (LIFE_MILLISECONDS - 1, True), (LIFE_MILLISECONDS, False)]
)
def test_a_download_address_ends(life: int, allowed: bool) -> None:
    url = FileAddresses("host", b"s" * 32, lambda: 0).download_url(FILE, CLIENT)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    later = FileAddresses("host", b"s" * 32, lambda: life)

    assert query["client"] == CLIENT
    assert allowed is later.allows_download(
        FILE, CLIENT, expires=query["expires"], seal=query["seal"]
    )


@pytest.mark.parametrize("expires", ["", "-1", "1e9", "9" * 20, "\u0663"])
def test_a_strange_end_is_not_allowed(expires: str) -> None:
    addresses = FileAddresses("host", b"s" * 32, lambda: 0)

    assert not addresses.allows_download(FILE, CLIENT, expires=expires, seal="x")


@pytest.mark.parametrize(("now", "taken"), [(999, True), (1000, False)])
def test_an_upload_address_ends(tmp_path: Path, now: int, taken: bool) -> None:
    ticket, ticket_hash = new_upload_ticket()
    with owner_session(tmp_path / "vault") as owner:
        create_application(owner, "app")
        record = add_records(owner, [{"title": "x"}], app="app")[0]
        with owner.write() as (connection, _):
            connection.execute(
                "INSERT INTO files (file_uid, record_uid, link_key, owner_key, data, size,"
                " upload_hash, upload_expires_at) VALUES (?, ?, '', '', '', 3, ?, 1000)",
                (FILE, record, ticket_hash),
            )
            if not taken:
                with pytest.raises(RequestRejected, match="expired"):
                    store_content(connection, ticket=ticket, content=b"abc", now=now)
                return
            store_content(connection, ticket=ticket, content=b"abc", now=now)
            stored = connection.execute("SELECT content FROM file_contents").fetchone()[0]

    assert stored == b"abc"
