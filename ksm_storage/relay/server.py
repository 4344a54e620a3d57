"""Serve the relay: its endpoints, its metrics, and how it starts, reloads and stops."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..engine import BackoffPolicy, ConfigKeys, SecretsManager
from ..errors import SettingsError, StorageError
from ..serving.addresses import UPLOADED, is_loopback
from ..serving.certificates import LOCAL_NAMES, ServerCertificate
from ..serving.listening import inherited_sockets, listening_socket, serve
from ..serving.requests import RequestRejected, malformed
from ..serving.web import Endpoint, Workers, peer_address, read_upload, reporting, signed_endpoint
from ..storage.encrypted_storage import EncryptedStorage
from ..wire.endpoints import API_PATH, CONTENT_TYPE
from .exchange import Exchange
from .state import SERVER_KEY_ID, Identity, RelayState, state_key
from .upstream import Upstream

_log = logging.getLogger(__name__)
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
# A certificate is valid for 90 days.
_RENEW_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Say how the relay listens and how it asks Keeper."""

    folder: Path
    host: str | None = None
    port: int | None = None
    names: tuple[str, ...] = ()
    unix_socket: Path | None = None
    exposed: bool = False
    cache_seconds: float = 60.0
    offline_copy: Path | None = None
    ca_file: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """Say where and as whom a relay listens; nothing of it is secret."""

    address: str
    ca_file: str
    server_public_key_id: str
    server_public_key: str


def open_state(config: EncryptedStorage, folder: Path) -> RelayState:
    """Open the relay's state with the keys of the configuration.

    Raises:
        SettingsError: The configuration is not bound.
    """
    if not config.get(ConfigKeys.KEY_APP_KEY) or not config.get(ConfigKeys.KEY_CLIENT_ID):
        raise SettingsError(
            "the configuration is not bound to an application",
            hint="bind it first: ksm-storage init PATH",
        )
    return RelayState(folder, state_key(config.read_storage()))


def default_folder(path: str) -> Path:
    """Return where the relay keeps its state by default: beside the configuration."""
    return Path(os.path.abspath(path) + ".relay")


def run_relay(
    config: EncryptedStorage, settings: RelaySettings, announce: Callable[[Listening], None]
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP discards the answer and renews the certificate.

    Raises:
        SettingsError: The address cannot be used, or can be reached from other machines.
    """
    inherited = inherited_sockets()
    state = open_state(config, settings.folder)
    try:
        host, port = _address(inherited, settings)
        if host is not None:
            # Before the state is made, whose authority is for the first address only.
            _refuse_exposed(host, settings.names, settings)
        identity = state.identity(host=host, port=port, names=settings.names)
        _refuse_exposed(identity.host, identity.names, settings)
        if not is_loopback(identity.host):
            _log.warning(
                "%s can be reached from other machines: a client's configuration works from each"
                " of them, unless the client was added with --lock-ip",
                identity.address,
            )
        manager = SecretsManager(
            config=config,
            ca_file=settings.ca_file,
            proxy_url=settings.proxy,
            offline_copy=settings.offline_copy,
            # The relay has the last answer to give meanwhile, and clients that wait themselves.
            backoff=BackoffPolicy(retries=0),
        )
        upstream = Upstream(manager, cache_seconds=settings.cache_seconds)
        exchange = Exchange(state, identity, upstream)
        names = list(dict.fromkeys([*LOCAL_NAMES, identity.host, *identity.names]))
        certificate = ServerCertificate(identity.authority, "ksm-storage relay", names)
        with _sockets(identity, settings, inherited) as listeners, _noted(state, exchange):
            listening = Listening(
                exchange.addresses.host,
                str(state.ca_file),
                SERVER_KEY_ID,
                identity.server_public_key,
            )
            with _reloading(upstream, certificate):
                serve(
                    make_application(exchange),
                    listeners,
                    tls=certificate.context,
                    announce=lambda: announce(listening),
                )
    finally:
        state.close()


class Metrics:
    """Count requests, and write what the relay knows of itself in Prometheus' text form."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._requests: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._started = time.time()

    def count(self, path: str, status: int) -> None:
        """Count one request."""
        with self._lock:
            self._requests[path, status] += 1

    def text(self) -> str:
        """Return the counters; no name of a client or record is among them."""
        upstream = self._exchange.upstream
        snapshot = upstream.snapshot
        with self._lock:
            requests = sorted(self._requests.items())
        lines = ["# TYPE ksm_relay_requests_total counter"]
        lines += [
            f'ksm_relay_requests_total{{path="{path}",status="{status}"}} {count}'
            for (path, status), count in requests
        ]
        lines += [
            "# TYPE ksm_relay_keeper_requests_total counter",
            f"ksm_relay_keeper_requests_total {upstream.requests}",
            "# TYPE ksm_relay_keeper_failures_total counter",
            f"ksm_relay_keeper_failures_total {upstream.failures}",
            "# TYPE ksm_relay_start_time_seconds gauge",
            f"ksm_relay_start_time_seconds {self._started:.0f}",
        ]
        if snapshot is not None:
            lines += [
                "# TYPE ksm_relay_answer_age_seconds gauge",
                f"ksm_relay_answer_age_seconds {upstream.age(snapshot):.0f}",
                "# TYPE ksm_relay_records gauge",
                f"ksm_relay_records {len(snapshot.records)}",
                "# TYPE ksm_relay_offline gauge",
                f"ksm_relay_offline {int(snapshot.offline_since is not None)}",
            ]
        return "\n".join(lines) + "\n"


def make_application(exchange: Exchange) -> Starlette:
    """Return the ASGI application."""
    workers, metrics = Workers(), Metrics(exchange)

    def answer(path: str, headers: Mapping[str, str], body: bytes, address: str) -> bytes:
        try:
            content = exchange.answer(path, headers, body, address)
        except RequestRejected as exc:
            metrics.count(path, exc.status)
            raise
        except sqlite3.Error as exc:
            metrics.count(path, 500)
            raise StorageError("the relay's state cannot be read or written") from exc
        metrics.count(path, 200)
        return content

    async def upload(request: Request) -> Response:
        fields, content = await read_upload(request)
        ticket = fields.get("ticket")
        if ticket is None:
            raise malformed("the form has no part named ticket")
        address = peer_address(request)
        await workers.run(lambda: exchange.upload(ticket, content, address))
        return Response(status_code=UPLOADED)

    async def download(request: Request) -> Response:
        file_uid, query = request.path_params["file_uid"], dict(request.query_params)
        address = peer_address(request)
        content = await workers.run(lambda: exchange.download(file_uid, query, address))
        return Response(content, media_type=CONTENT_TYPE)

    async def measured(_: Request) -> Response:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        return Route(path, reporting(endpoint, location="relay"), methods=[method])

    return Starlette(
        routes=[
            route(API_PATH + "{path}", signed_endpoint(answer, workers), "POST"),
            route("/files", upload, "POST"),
            route("/files/{file_uid}", download, "GET"),
            route("/metrics", measured, "GET"),
        ]
    )


def _refuse_exposed(host: str, names: Sequence[str], settings: RelaySettings) -> None:
    if is_loopback(host):
        return
    if not settings.exposed:
        raise SettingsError(
            f"{host!r} can be reached from other machines",
            hint="listen on 127.0.0.1, or add --expose; a client's configuration then works from "
            "every host that reaches this one, unless it was added with --lock-ip",
        )
    if host in _ANY_ADDRESS and not names:
        raise SettingsError(
            f"clients cannot connect to {host!r}",
            hint="add --name with the host name that clients use",
        )


def _address(
    inherited: Sequence[socket.socket], settings: RelaySettings
) -> tuple[str | None, int | None]:
    """Return the address to listen on; None means the one in the state."""
    addresses = [each.getsockname() for each in inherited if each.family != socket.AF_UNIX]
    if not addresses:
        return settings.host, settings.port
    if settings.host is not None or settings.port is not None:
        raise SettingsError(
            "--listen cannot be combined with a socket of systemd",
            hint="set the address in ListenStream= of the .socket unit only",
        )
    if len(addresses) > 1:
        raise SettingsError(
            "LISTEN_FDS has several TCP addresses; the relay uses one",
            hint="keep one ListenStream=HOST:PORT; a Unix socket may be added",
        )
    host, port = addresses[0][:2]
    return str(host), int(port)


@contextlib.contextmanager
def _sockets(
    identity: Identity, settings: RelaySettings, inherited: Sequence[socket.socket]
) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in inherited]
        if all(each.family == socket.AF_UNIX for each in inherited):
            listeners.append(stack.enter_context(listening_socket(identity.host, identity.port)))
        path = settings.unix_socket
        if path is not None:
            listeners.append(stack.enter_context(_unix_socket(path)))
            stack.callback(lambda: path.unlink(missing_ok=True))
        yield listeners


def _unix_socket(path: Path) -> socket.socket:
    _remove_old_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError as exc:
        listener.close()
        raise SettingsError(f"cannot listen on {str(path)!r}: {exc.strerror}") from exc
    finally:
        os.umask(before)
    return listener


def _remove_old_socket(path: Path) -> None:
    """Remove a socket that a killed relay left, and nothing else.

    Raises:
        SettingsError: The path is something else than a socket.
    """
    try:
        # Without following a link. The lock on the port rules out that the socket is in use.
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
            return
    except FileNotFoundError:
        return
    except OSError as exc:
        raise SettingsError(f"cannot listen on {str(path)!r}: {exc.strerror}") from exc
    raise SettingsError(
        f"{str(path)!r} exists and is not a socket", hint="pass another path to --socket"
    )


@contextlib.contextmanager
def _noted(state: RelayState, exchange: Exchange) -> Iterator[None]:
    """Note the address for ``relay status`` while the relay runs, and last uses at the end."""
    path = state.folder / "address.json"
    address = {"address": exchange.addresses.host, "process": os.getpid()}
    state.write_public(path, json.dumps(address).encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        exchange.note_use()


def _renew(certificate: ServerCertificate) -> None:
    try:
        certificate.renew()
    except OSError as exc:
        # The one in use is valid for three times the time until the next attempt.
        _log.warning("cannot make a new certificate: %s; the old one stays in use", exc.strerror)


@contextlib.contextmanager
def _reloading(upstream: Upstream, certificate: ServerCertificate) -> Iterator[None]:
    def reload(*_: object) -> None:
        upstream.invalidate()
        _renew(certificate)

    before = signal.signal(signal.SIGHUP, reload) if hasattr(signal, "SIGHUP") else None
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEW_SECONDS):
            _renew(certificate)

    threading.Thread(target=renew, name="certificate", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if before is not None:
            signal.signal(signal.SIGHUP, before)
