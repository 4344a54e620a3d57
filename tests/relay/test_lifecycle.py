"""The relay survives kills, restarts, rotations and outages; nothing of it lies open on disk."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ksm_storage_local_vault.owner.access import revoke_client
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.server_settings import ThrottleRule
from ksm_storage_local_vault.testing import (
    APP_NAME,
    LocalVault,
    SampleContent,
    add_sample_content,
    login_record,
)

from ksm_storage import open_storage
from ksm_storage.engine import SecretsManager, ServerUnreachableError
from ksm_storage.errors import DecryptionError, SettingsError
from ksm_storage.relay.answers import View
from ksm_storage.relay.exchange import Exchange
from ksm_storage.relay.grant import Grant
from ksm_storage.relay.server import _unix_socket, open_state
from ksm_storage.relay.state import RelayState
from ksm_storage.relay.upstream import Upstream
from ksm_storage.wire.base64_forms import from_base64
from ksm_storage.wire.endpoints import CLIENT_VERSION
from ksm_storage.wire.keys import private_key_from_text
from ksm_storage.wire.signed_request import make_request, signer
from tests.attacks.claims import the_attacker
from tests.cli.command import run
from tests.relay.conftest import MakeRelay
from tests.relay.relay import Relay, bind_device
from tests.relay.test_access import ALONE, connect
from tests.unit.storage.fixtures import new_key


def titles(manager: SecretsManager) -> list[str]:
    return sorted(record.title or "" for record in manager.get_secrets())


def test_a_kill_loses_no_client(make_relay: MakeRelay, content: SampleContent) -> None:
    relay = make_relay()
    configuration = relay.add("survivor", ALONE)
    address = relay.address

    relay.kill()
    relay.start()

    assert relay.address == address
    assert titles(connect(relay, configuration)) == ["alone"]


def test_one_fetch_serves_all(make_relay: MakeRelay, content: SampleContent) -> None:
    relay = make_relay(cache_seconds=60)
    managers = [connect(relay, relay.add(f"client {number}", ALONE)) for number in range(8)]

    with ThreadPoolExecutor(len(managers)) as threads:
        assert list(threads.map(titles, managers)) == [["alone"]] * len(managers)

    assert relay.metrics()["ksm_relay_keeper_requests_total"] == 1


def test_an_answer_is_kept_for_the_time_that_was_set(
    make_relay: MakeRelay, vault: LocalVault, content: SampleContent
) -> None:
    relay = make_relay(cache_seconds=600)
    manager = connect(relay, relay.add("cached", Grant(records=("later",))))
    assert titles(manager) == []
    with vault.owner() as owner:
        (uid,) = add_records(owner, [login_record("later", "p")], app=APP_NAME)

    assert titles(manager) == []
    relay.hang_up()
    time.sleep(0.2)

    assert titles(manager) == ["later"]
    del uid


def test_two_relays_over_one_configuration_know_their_own_clients(
    make_relay: MakeRelay, content: SampleContent
) -> None:
    one, two = make_relay("one"), make_relay("two")
    of_one, of_two = one.add("client", ALONE), two.add("client", ALONE)

    assert titles(connect(one, of_one)) == titles(connect(two, of_two)) == ["alone"]
    with pytest.raises(ServerUnreachableError):
        connect(one, {**of_one, "hostname": two.address}).get_secrets()


def test_a_rotated_key_changes_nothing_for_clients(
    make_relay: MakeRelay, sealed: Path, content: SampleContent, tmp_path: Path
) -> None:
    relay = make_relay(cache_seconds=0)
    manager = connect(relay, relay.add("through", ALONE))
    other = new_key(tmp_path / "other.key")

    assert run("rewrap", str(sealed), "--add-key", other).returncode == 0

    assert titles(manager) == ["alone"]
    relay.stop()
    relay.start()
    assert titles(manager) == ["alone"]


@the_attacker("copies the relay's files")
def test_nothing_of_the_state_lies_open(make_relay: MakeRelay, content: SampleContent) -> None:
    relay = make_relay()
    configuration = relay.add("name-of-a-client", Grant(records=("title-pattern*", "alone")))
    titles(connect(relay, configuration))
    relay.stop()

    for file in relay.folder.iterdir():
        found = file.read_bytes()
        for secret in ("name-of-a-client", "title-pattern", configuration["appKey"], "PRIVATE"):
            assert secret.encode() not in found, file.name
        assert os.stat(file).st_mode & 0o077 == 0 or file.name == "ca.pem"
    with pytest.raises(DecryptionError, match="another configuration"):
        RelayState(relay.folder, bytes(32)).identity()


def test_reads_are_audited_with_client_and_uid(
    make_relay: MakeRelay,
    content: SampleContent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KSM_STORAGE_AUDIT_FILE", str(log))
    relay = make_relay()
    monkeypatch.delenv("KSM_STORAGE_AUDIT_FILE")
    manager = connect(relay, relay.add("audited", ALONE))

    manager.get_secrets()

    events = [json.loads(line) for line in log.read_text().splitlines()]
    (event,) = [event for event in events if event["event"] == "relayed"]
    assert (event["client"], event["operation"]) == ("audited", "get_secret")
    assert event["records"] == [content.alone]
    assert "password-of" not in log.read_text()


def test_a_restart_opens_the_configuration_once(
    make_relay: MakeRelay,
    content: SampleContent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KSM_STORAGE_AUDIT_FILE", str(log))
    relay = make_relay()
    monkeypatch.delenv("KSM_STORAGE_AUDIT_FILE")
    managers = [connect(relay, relay.add(f"client {number}", ALONE)) for number in range(3)]
    assert [titles(manager) for manager in managers] == [["alone"]] * 3
    relay.kill()
    log.unlink()

    monkeypatch.setenv("KSM_STORAGE_AUDIT_FILE", str(log))
    relay.start()
    monkeypatch.delenv("KSM_STORAGE_AUDIT_FILE")
    relay.hang_up()
    assert [titles(manager) for manager in managers] == [["alone"]] * 3

    # An event for each unwrap: the key service is asked at the start and never again.
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("opened") == 1


def connected(relay: Relay, sent: bytes = b"") -> ssl.SSLSocket:
    """Return an open connection on which so much of a request was sent."""
    context = ssl.create_default_context(cafile=relay.ca_file)
    host, _, port = relay.address.rpartition(":")
    plain = socket.create_connection((host, int(port)), timeout=60)
    secured = context.wrap_socket(plain, server_hostname=host)
    secured.sendall(sent)
    return secured


HALF_A_HEAD = b"POST /api/rest/sm/v1/get_secret HTTP/1.1\r\nHost: x\r\n"
HALF_A_BODY = HALF_A_HEAD + b"Content-Length: 10\r\n\r\nhalf"
UNFINISHED = {"nothing": b"", "half a head": HALF_A_HEAD, "half a body": HALF_A_BODY}


def test_sigterm_ends_it_without_waiting_for_any_client(make_relay: MakeRelay) -> None:
    # It would wait for an hour for what it takes to be under way.
    relay = make_relay(_STOP_SECONDS=3600)
    host, _, port = relay.address.rpartition(":")
    # One has not even begun with TLS.
    opened: list[socket.socket] = [socket.create_connection((host, int(port)))]
    opened += [connected(relay, sent) for sent in UNFINISHED.values()]

    assert relay.stop() == 0

    # Right after the announcement, too.
    relay.start()
    assert relay.stop() == 0
    for connection in opened:
        connection.close()


def test_sigterm_does_not_wait_for_a_client_that_was_told_goodbye(make_relay: MakeRelay) -> None:
    relay = make_relay(_STOP_SECONDS=3600, _IDLE_SECONDS=0.05)

    with connected(relay, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as idle:
        # Up to TLS's goodbye, to which this client does not reply.
        while idle.recv(65_536):
            pass

        assert relay.stop() == 0


@the_attacker("holds connections to the relay without sending a request")
@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED)
def test_a_client_that_sends_no_whole_request_is_cut_off(
    make_relay: MakeRelay, content: SampleContent, sent: bytes
) -> None:
    relay = make_relay(_REQUEST_SECONDS=0.05)
    manager = connect(relay, relay.add("other", ALONE))

    with connected(relay) as slow:
        with contextlib.suppress(OSError):
            slow.sendall(sent)
        with contextlib.suppress(ConnectionError):
            # It ends: with a time-out of the test where nobody cuts it off.
            assert slow.recv(1) == b""

    assert titles(manager) == ["alone"]
    assert "Traceback" not in relay.log_file.read_text()


def test_an_exposed_relay_says_what_that_means(make_relay: MakeRelay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    relay = make_relay(host="0.0.0.0", port=port, names=["localhost"], exposed=True)

    configuration = relay.add("elsewhere", ALONE)

    assert configuration["hostname"] == f"localhost:{port}"
    assert titles(connect(relay, configuration)) == ["alone"]
    assert "can be reached from other machines" in relay.log_file.read_text()


def test_metrics_name_nobody(make_relay: MakeRelay, content: SampleContent) -> None:
    relay = make_relay()
    titles(connect(relay, relay.add("unnamed", ALONE)))

    metrics = relay.metrics()

    assert metrics['ksm_relay_requests_total{path="get_secret",status="200"}'] == 1
    assert metrics["ksm_relay_records"] >= 3
    assert "unnamed" not in str(metrics)


def test_a_unix_socket_speaks_tls(make_relay: MakeRelay, tmp_path: Path) -> None:
    path = tmp_path / "s"
    relay = make_relay(unix_socket=str(path))
    context = ssl.create_default_context(cafile=relay.ca_file)
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(str(path))

    with context.wrap_socket(plain, server_hostname="localhost") as secured:
        secured.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert secured.recv(15) == b"HTTP/1.1 200 OK"
    assert os.stat(path).st_mode & 0o777 == 0o600
    relay.stop()
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_not_a_socket_is_refused_and_stays(kind: str, tmp_path: Path) -> None:
    path, precious = tmp_path / "s", tmp_path / "precious"
    precious.write_text("kept")
    path.symlink_to(precious) if kind == "link" else path.write_text("kept")

    with pytest.raises(SettingsError, match="exists and is not a socket"):
        _unix_socket(path)

    assert path.read_text() == precious.read_text() == "kept"
    assert path.is_symlink() is (kind == "link")


def test_the_socket_of_a_killed_relay_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    _unix_socket(path).close()

    with _unix_socket(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.fixture
def keeper(tmp_path_factory: pytest.TempPathFactory) -> LocalVault:
    """Return a vault that a test may stop."""
    return LocalVault(tmp_path_factory.mktemp("keeper"))


def own_relay(keeper: LocalVault, folder: Path, **options: object) -> Relay:
    """Start a vault with content, and a relay over a device of it."""
    keeper.start()
    add_sample_content(keeper)
    sealed = folder / "client-config.json"
    bind_device(keeper, sealed, new_key(folder / "k"))
    relay = Relay(sealed, folder / "relay", keeper, **options)
    relay.start()
    return relay


@pytest.mark.parametrize("offline", [False, True])
def test_when_keeper_is_down_only_an_offline_copy_helps(
    keeper: LocalVault, tmp_path: Path, offline: bool
) -> None:
    copy = {"offline_copy": str(tmp_path / "copy")} if offline else {}
    relay = own_relay(keeper, tmp_path, cache_seconds=0, **copy)
    manager = connect(relay, relay.add("offline", ALONE))
    assert titles(manager) == ["alone"]

    keeper.stop()

    if offline:
        response = manager.get_secrets(full_response=True)
        assert [record.title for record in response.records] == ["alone"]
        assert "Keeper is unreachable" in str(response.warnings)
    else:
        with pytest.raises(ServerUnreachableError):
            manager.get_secrets()
    relay.stop()


def test_keepers_throttle_reaches_no_reader(keeper: LocalVault, tmp_path: Path) -> None:
    relay = own_relay(keeper, tmp_path, cache_seconds=0)
    manager = connect(relay, relay.add("patient", ALONE))
    assert titles(manager) == ["alone"]
    with keeper.owner() as owner:
        owner.throttle = ThrottleRule(throttle_next=100)

    before = time.monotonic()

    assert titles(manager) == titles(manager) == ["alone"]
    assert time.monotonic() - before < 5
    assert relay.metrics()["ksm_relay_keeper_failures_total"] == 1
    relay.stop()
    keeper.stop()


def test_a_device_that_keeper_refuses_serves_nobody(keeper: LocalVault, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    relay = own_relay(keeper, tmp_path, cache_seconds=0, offline_copy=str(copy))
    manager = connect(relay, relay.add("cut off", ALONE))
    assert titles(manager) == ["alone"]
    with keeper.owner() as owner:
        revoke_client(owner, open_storage(relay.sealed).read_storage()["clientId"])

    with pytest.raises(ServerUnreachableError):
        manager.get_secrets()

    assert not copy.exists()
    keeper.stop()
    with pytest.raises(ServerUnreachableError):
        manager.get_secrets()
    relay.stop()


def test_a_flat_record_of_a_folder_reaches_the_clients_of_that_folder(
    make_relay: MakeRelay, vault: LocalVault, content: SampleContent
) -> None:
    with vault.owner() as owner:
        record = {**login_record("made by hand", "p"), "flat": True, "folder": "Shared"}
        add_records(owner, [record], app=APP_NAME)
    relay = make_relay()

    manager = connect(relay, relay.add("flat", Grant(folders=(content.folder,))))

    assert "made by hand" in titles(manager)


def test_a_client_that_is_gone_leaves_nothing_in_memory(
    vault: LocalVault, sealed: Path, content: SampleContent, tmp_path: Path
) -> None:
    config = open_storage(sealed)
    relay = Relay(sealed, tmp_path / "state", vault)
    configuration = relay.add("short-lived", ALONE)
    state = open_state(config, tmp_path / "state")
    manager = SecretsManager(config=config, ca_file=vault.ca_file)
    exchange = Exchange(state, state.identity(), Upstream(manager, cache_seconds=3600))
    payload = {"clientVersion": CLIENT_VERSION, "clientId": configuration["clientId"]}
    request, _ = make_request(
        json.dumps(payload).encode(),
        sign=signer(private_key_from_text(configuration["privateKey"])),
        server_public_key=from_base64(configuration["serverPublicKey"]),
        public_key_id=configuration["serverPublicKeyId"],
    )
    assert exchange.answer("get_secret", request.headers(), request.body, "127.0.0.1")

    kept = []
    for _ in range(3):
        exchange.note_use()
        kept.append(sum(type(each) is View for each in gc.get_objects()))

    state.close()
    assert kept == [1, 1, 0]


def test_a_relay_that_can_make_no_new_certificate_serves_with_the_old_one(
    make_relay: MakeRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    relay = make_relay()
    manager = connect(relay, relay.add("client", ALONE))
    assert titles(manager) == ["alone"]
    temporary.rmdir()

    relay.hang_up()

    assert titles(manager) == ["alone"]
    assert "cannot make a new certificate: No such file or directory" in relay.log_file.read_text()
