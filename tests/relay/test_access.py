"""A configuration of the relay is worthless elsewhere, later, and for anything but its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import LocalVault, SampleContent

from ksm_storage import engine, open_storage
from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager
from ksm_storage.engine.transport import run as finished
from ksm_storage.errors import DecryptionError, VaultError
from ksm_storage.relay.grant import Grant
from ksm_storage.serving import requests
from ksm_storage.wire.aes import cbc_open, gcm_open
from ksm_storage.wire.base64_forms import from_base64, to_base64
from ksm_storage.wire.keys import new_private_key, private_key_to_text
from tests.attacks.claims import the_attacker
from tests.relay.relay import Relay, now

ALONE = Grant(records=("alone",))


def connect(relay: Relay, configuration: dict[str, str]) -> SecretsManager:
    return SecretsManager(
        config=InMemoryKeyValueStorage(json.dumps(configuration)), ca_file=relay.ca_file
    )


def raw(relay: Relay, configuration: dict[str, str], path: str, **payload: object) -> Any:
    """Return the decrypted answer as the relay sent it."""
    session = connect(relay, configuration)._session
    own = finished(session.client_part())
    return json.loads(finished(session.exchange(path, {**own, **payload})))


@the_attacker("uses a relay client's configuration after it was revoked")
def test_a_revoked_client_is_rejected_at_its_next_request(
    relay: Relay, content: SampleContent
) -> None:
    manager = connect(relay, relay.add("revoked", ALONE))
    file = manager.get_secrets()[0].files[0]

    relay.revoke("revoked")

    with pytest.raises(engine.ClientRevokedError):
        manager.get_secrets()
    with pytest.raises(VaultError):
        file.get_file_data()


@the_attacker("uses a relay client's configuration after it expired")
def test_an_expired_client_is_rejected(relay: Relay, content: SampleContent) -> None:
    manager = connect(relay, relay.add("expired", ALONE, expires_in=0.001))

    with pytest.raises(engine.AccessExpiredError):
        manager.get_secrets()


@the_attacker("uses a relay client's configuration from another address")
def test_a_locked_client_is_rejected_at_another_address(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = relay.add("locked", ALONE, address_locked=True)
    assert len(connect(relay, configuration).get_secrets()) == 1

    import http.client

    whole = http.client.HTTPSConnection.__init__

    def elsewhere(self: Any, *args: Any, **options: Any) -> None:
        whole(self, *args, **{**options, "source_address": ("127.0.0.2", 0)})

    monkeypatch.setattr(http.client.HTTPSConnection, "__init__", elsewhere)

    with pytest.raises(engine.AddressLockedError):
        connect(relay, configuration).get_secrets()


@the_attacker("uses a relay client's configuration at Keeper itself")
def test_a_client_is_unknown_to_keeper(
    relay: Relay, vault: LocalVault, sealed: Path, content: SampleContent
) -> None:
    real = open_storage(sealed).read_storage()
    stolen = relay.add("stolen", ALONE)
    at_keeper = {**stolen, "hostname": vault.address, "serverPublicKey": real["serverPublicKey"]}
    at_keeper["serverPublicKeyId"] = real["serverPublicKeyId"]

    with pytest.raises(engine.ClientUnknownError):
        SecretsManager(
            config=InMemoryKeyValueStorage(json.dumps(at_keeper)), ca_file=vault.ca_file
        ).get_secrets()


@the_attacker("signs a request to the relay with another key")
def test_another_key_is_rejected(relay: Relay, content: SampleContent) -> None:
    configuration = relay.add("forged", ALONE)
    configuration["privateKey"] = private_key_to_text(new_private_key())

    with pytest.raises(engine.BadSignatureError):
        connect(relay, configuration).get_secrets()


@the_attacker("asks the relay for a record that its client was not given")
def test_a_record_that_was_not_given_is_not_there(relay: Relay, content: SampleContent) -> None:
    answer = raw(
        relay,
        relay.add("curious", ALONE),
        "get_secret",
        requestedRecords=[content.in_folder],
        requestedFolders=[content.folder],
    )

    assert (answer["records"], answer["folders"]) == ([], [])


@the_attacker("collects the keys that the relay sends to its client")
def test_no_real_key_but_those_of_its_records_reaches_a_client(
    relay: Relay, sealed: Path, content: SampleContent
) -> None:
    configuration = relay.add("collector", Grant(folders=(content.folder,)))
    own_key = from_base64(configuration["appKey"])
    real_app_key = from_base64(open_storage(sealed).read_storage()["appKey"])

    answer = raw(relay, configuration, "get_secret", requestLinks=True)
    folders = raw(relay, configuration, "get_folders")["folders"]

    assert own_key != real_app_key
    (folder,) = answer["folders"]
    folder_key = gcm_open(own_key, from_base64(folder["folderKey"]))
    with pytest.raises(DecryptionError):
        gcm_open(real_app_key, from_base64(folder["folderKey"]))
    # The key that the client has for the folder opens the same folder of nobody else.
    other = relay.add("other collector", Grant(folders=(content.folder,)))
    same = raw(relay, other, "get_secret")["folders"][0]
    with pytest.raises(DecryptionError):
        gcm_open(folder_key, from_base64(same["records"][0]["recordKey"]))
    child = next(item for item in folders if item["parent"] == content.folder)
    assert json.loads(
        cbc_open(cbc_open(folder_key, from_base64(child["folderKey"])), from_base64(child["data"]))
    ) == {"name": "Child"}
    everything = json.dumps([answer, folders])
    assert to_base64(real_app_key) not in everything


def test_a_repeated_request_is_rejected(relay: Relay, content: SampleContent) -> None:
    configuration = relay.add("repeated", ALONE)
    session = connect(relay, configuration)._session
    sent: list[tuple[str, dict[str, Any]]] = []
    post = session._transport.post

    async def recorded(url: str, **request: Any) -> Any:
        sent.append((url, request))
        return await post(url, **request)

    session._transport.post = recorded  # type: ignore[method-assign]
    finished(session.exchange("get_secret", finished(session.client_part())))
    (url, request) = sent[0]

    again = finished(post(url, **request))

    assert again.status == 403
    assert b"received before" in again.body


def test_of_repeated_requests_the_last_ones_of_an_hour_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = 0.0
    monkeypatch.setattr(requests, "MAX_REMEMBERED", 3)
    monkeypatch.setattr("time.monotonic", lambda: seconds)
    window = requests.ReplayWindow()
    digests = [bytes([number]) * 32 for number in range(4)]

    for digest in digests:
        window.reject_repeated(digest)
        with pytest.raises(requests.RequestRejected, match="received before"):
            window.reject_repeated(digest)
    # The first one made room for the last one.
    window.reject_repeated(digests[0])
    seconds = 3600.0
    with pytest.raises(requests.RequestRejected):
        window.reject_repeated(digests[0])
    seconds = 3601.0

    window.reject_repeated(digests[0])


def test_of_two_clients_with_one_token_one_binds(relay: Relay, content: SampleContent) -> None:
    token, configuration = relay.add_waiting("twice", ALONE)

    def redeem() -> SecretsManager:
        return SecretsManager(
            token=token,
            hostname=configuration["hostname"],
            config=InMemoryKeyValueStorage(),
            server_public_key=configuration["serverPublicKey"],
            server_public_key_id=configuration["serverPublicKeyId"],
            ca_file=relay.ca_file,
        )

    first = redeem()
    first.bind()
    with pytest.raises(engine.TokenRedeemedError):
        redeem().bind()
    assert [record.title for record in first.get_secrets()] == ["alone"]


def test_the_last_use_is_listed(relay: Relay, content: SampleContent) -> None:
    before = now()
    connect(relay, relay.add("used", ALONE)).get_secrets()
    relay.stop()
    relay.start()

    with relay.state() as state:
        used = next(client for client in state.clients() if client.name == "used")

    assert used.last_used_at is not None
    assert used.last_used_at >= before


@pytest.mark.parametrize(
    ("pattern", "title", "covered"),
    [
        ("main *", "main database", True),
        ("*", "", True),
        ("main *", "the main database", False),
        ("main?database", "main database", False),
        ("backup [old]?", "backup [old]?", True),
        ("backup [old]", "backup o", False),
        ("MAIN*", "main", False),
        ("a\nb", "a\nb", True),
    ],
)
def test_in_a_title_only_the_asterisk_stands_for_other_text(
    pattern: str, title: str, covered: bool
) -> None:
    assert Grant(records=(pattern,)).covers_record("A" * 22, lambda: title) is covered
