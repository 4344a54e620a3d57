"""Where the token of a request comes from: given, or by a login; renewed while it is used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ksm_storage.plugin import (
    AuthenticationError,
    ProviderError,
    Settings,
    SettingsError,
    shown_path,
)

from .options import AGENT, APPROLE, KUBERNETES, TOKEN, Access, variable
from .transport import LoginError, ReplyError

POD_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
MAX_TOKEN = 65536

# The rest is left for the renewal itself, and for calls that fail meanwhile.
RENEW_AFTER = 2 / 3

Send = Callable[[str, "str | None", Mapping[str, object]], Mapping[str, Any]]
"""Post a body to a path with a token, and return the reply."""


class Tokens(Protocol):
    """Supply the token of the next request."""

    def current(self, send: Send) -> str | None:
        """Return the token to send, renewed or fetched if need be; None to send none."""
        ...

    def replace(self, rejected: str | None) -> bool:
        """Give up a token that the server rejected; tell whether another one may be had."""
        ...


def tokens_for(access: Access) -> Tokens:
    """Return the source of tokens that the settings choose; reads no file yet."""
    if access.credential == AGENT:
        return GivenToken(lambda: None, renew=False)
    if access.credential == TOKEN:
        settings = access.settings
        return GivenToken(lambda: given_token(settings), renew=settings.flag("renew_token"))
    return Login(f"auth/{access.auth_mount}/login", _login_body(access))


class GivenToken:
    """Supply a token that somebody else fetched, as it is at the moment."""

    def __init__(self, read: Callable[[], str | None], *, renew: bool) -> None:
        self._read = read
        self._renew = renew
        self._lock = threading.Lock()
        self._renewed: _Lease | None = None

    def current(self, send: Send) -> str | None:
        """Return the token, renewed if that was asked for and is due."""
        token = self._read()
        if token is None or not self._renew:
            return token
        with self._lock:
            lease = self._renewed
            if lease is None or lease.token != token or lease.is_due:
                self._renewed = _renewed(token, send)
        return token

    def replace(self, rejected: str | None) -> bool:
        """Tell whether the file holds another token by now."""
        return self._read() != rejected


class Login:
    """Supply the token of a login, for as long as it lasts."""

    def __init__(self, path: str, body: Callable[[], Mapping[str, str]]) -> None:
        self._path = path
        self._body = body
        self._lock = threading.Lock()
        self._lease: _Lease | None = None

    def current(self, send: Send) -> str | None:
        """Return the token of the login, renewed or fetched anew when it is due."""
        with self._lock:
            lease = self._lease
            if lease is not None and lease.is_due:
                lease = _renewed_or_none(lease, send)
            if lease is None:
                lease = self._log_in(send)
            self._lease = lease
            return lease.token

    def replace(self, rejected: str | None) -> bool:
        """Forget the token, so that the next request logs in again."""
        with self._lock:
            if self._lease is not None and self._lease.token == rejected:
                self._lease = None
        return True

    def _log_in(self, send: Send) -> _Lease:
        body = self._body()
        try:
            return _lease_of(send(self._path, None, body))
        except ReplyError as exc:
            refused = LoginError(exc.status, exc.texts)
        # Outside the block, so that the refusal with its texts does not stay on the error.
        if "secret_id" in body:
            refuse_wrapping_token(body["secret_id"], send)
        raise refused


class _Lease(NamedTuple):
    token: str
    renewable: bool
    renew_at: float
    ends_at: float

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self.renew_at


def given_token(settings: Settings) -> str | None:
    """Return the token of the settings, of the environment or of the last ``vault login``.

    Raises:
        AuthenticationError: There is none.
        SettingsError: What is given is not a token, or its file cannot be read.
    """
    if (token := settings.text("token")) is not None:
        return _checked(token, "the setting 'token'")
    if (path := settings.text("token_file")) is not None:
        return _read(path, "token_file")
    if (found := variable("TOKEN")) is not None:
        return _checked(found[0], f"the environment variable {found[1]!r}")
    written = Path.home() / ".vault-token"
    if written.is_file():
        return _read(str(written), "token_file")
    raise AuthenticationError(
        "no Vault token was found",
        hint="run 'vault login' or 'bao login', set VAULT_TOKEN or the option 'token_file', or "
        "choose another login by the option 'credential'",
    )


def refuse_wrapping_token(secret_id: str, send: Send) -> None:
    """Refuse a response-wrapping token in the place of the secret id that it wraps.

    The server is asked, because any text can be a secret id; asking does not use it up.

    Raises:
        SettingsError: It is one.
    """
    try:
        send("sys/wrapping/lookup", None, {"token": secret_id})
    except ReplyError:
        return
    raise SettingsError(
        "the secret id is a response-wrapping token, not the secret id that it wraps",
        hint="unwrap it once, where the application is started: vault unwrap -field=secret_id "
        "WRAPPING_TOKEN",
    )


def _login_body(access: Access) -> Callable[[], Mapping[str, str]]:
    settings = access.settings

    def body() -> Mapping[str, str]:
        # Read for each login: Kubernetes replaces a pod's token, and others may as well.
        if access.credential == APPROLE:
            secret = _secret(settings, "secret_id", None)
            role_id = settings.required_text("role_id")
            return {"role_id": role_id, **({"secret_id": secret} if secret else {})}
        default = POD_TOKEN if access.credential == KUBERNETES else None
        jwt = _secret(settings, "jwt", default)
        return {"role": settings.required_text("role"), "jwt": jwt or ""}

    return body


def _secret(settings: Settings, name: str, default_file: str | None) -> str | None:
    if (text := settings.text(name)) is not None:
        return _checked(text, f"the setting {name!r}")
    path = settings.text(f"{name}_file") or default_file
    return None if path is None else _read(path, f"{name}_file")


def _read(path: str, setting: str) -> str:
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_TOKEN + 1).decode("ascii", "replace")
    except OSError as exc:
        raise SettingsError(
            f"cannot read the file {shown_path(path)} of the setting {setting!r}: {exc.strerror}",
            hint="check its path and its permissions",
        ) from exc
    return _checked(text, f"the file {shown_path(path)} of the setting {setting!r}")


def _checked(text: str, source: str) -> str:
    text = text.strip()
    # It becomes a header, or a part of a body that the server answers "invalid" to.
    if text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= MAX_TOKEN:
        return text
    raise SettingsError(
        f"{source} does not hold a single token",
        hint="write the value alone, not the JSON reply that it came in",
    )


def _renewed_or_none(lease: _Lease, send: Send) -> _Lease | None:
    if not lease.renewable or time.monotonic() >= lease.ends_at:
        return None
    try:
        return _renewed(lease.token, send)
    except ReplyError:
        # At its maximum, or revoked: a login is what is left.
        return None


def _renewed(token: str, send: Send) -> _Lease:
    return _lease_of(send("auth/token/renew-self", token, {}))


def _lease_of(reply: Mapping[str, Any]) -> _Lease:
    auth = reply.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if reply.get("wrap_info"):
        raise ProviderError(
            "the server answered the login with a response-wrapping token",
            hint="check what adds the header X-Vault-Wrap-TTL between this host and the server",
        )
    if not isinstance(auth, dict) or not isinstance(token, str) or not token:
        raise AuthenticationError(
            "the login succeeded without a token: the server may want a second factor",
            hint="use a role that needs no second factor",
        )
    seconds = auth.get("lease_duration")
    seconds = float(seconds) if isinstance(seconds, int) and seconds > 0 else float("inf")
    now = time.monotonic()
    return _Lease(token, auth.get("renewable") is True, now + seconds * RENEW_AFTER, now + seconds)
