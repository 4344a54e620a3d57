"""Where the token of a request comes from: given, or by a login; renewed while it is used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ksm_storage.plugin import (
    AuthenticationError,
    ProviderError,
    Settings,
    SettingsError,
    shown_path,
)

from .hooks import AGENT, APPROLE, KUBERNETES, TOKEN, Access, variable
from .transport import LoginError, ReplyError

POD_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
MAX_TOKEN = 65536

# The rest is left for the renewal itself, and for calls that fail meanwhile.
RENEW_AFTER = 2 / 3

Send = Callable[[str, "str | None", Mapping[str, object]], Mapping[str, Any]]
"""Post a body to a path with a token, and return the reply."""


class Tokens:
    """Supply the token of the next request: a given one, or one of a login while it lasts."""

    def __init__(self, access: Access, send: Send) -> None:
        self._access = access
        self._send = send
        self._lock = threading.Lock()
        self._lease: _Lease | None = None
        self._asked: str | None = None

    def current(self) -> str | None:
        """Return the token to send, renewed or fetched if it is due; None where an agent adds one.

        Raises:
            AuthenticationError: No token was given.
            SettingsError: What was given is not a token.
            ReplyError, OSError, HTTPException: A login or a renewal failed.
        """
        with self._lock:
            if self._access.credential == AGENT:
                return None
            if self._access.credential == TOKEN:
                return self._given()
            lease = self._lease
            if lease is not None and lease.is_due:
                lease = self._renewed_login(lease)
            self._lease = lease or self._logged_in()
            return self._lease.token

    def replace(self, rejected: str | None) -> bool:
        """Give up a token that the server rejected; tell whether the next one may be another."""
        with self._lock:
            if self._access.credential == TOKEN:
                return self._read() != rejected
            if self._lease is not None and self._lease.token == rejected:
                self._lease = None
            return self._access.credential != AGENT

    def _given(self) -> str:
        token, lease = self._read(), self._lease
        if self._access.settings.flag("renew_token") and (
            lease is None or lease.token != token or lease.is_due
        ):
            self._lease = self._renewed(token)
        return token

    def _read(self) -> str:
        settings = self._access.settings
        if not settings.given("token"):
            return given_token(settings)
        # A function that asks a person is called once; a file may have a new token each time.
        if self._asked is None:
            self._asked = _checked(settings.required_text("token"), "the setting 'token'")
        return self._asked

    def _renewed_login(self, lease: _Lease) -> _Lease | None:
        try:
            return self._renewed(lease.token) if lease.renewable else None
        except ReplyError:
            # At its maximum, or revoked: a login is what is left.
            return None

    def _renewed(self, token: str) -> _Lease:
        return _lease_of(self._send("auth/token/renew-self", token, {}))

    def _logged_in(self) -> _Lease:
        body = _login_body(self._access)
        try:
            return _lease_of(self._send(f"auth/{self._access.auth_mount}/login", None, body))
        except ReplyError as exc:
            refused = LoginError(exc.status, exc.texts)
        # Outside the block, so that the refusal with its texts does not stay on the error.
        if "secret_id" in body:
            refuse_wrapping_token(body["secret_id"], self._send)
        raise refused


class _Lease(NamedTuple):
    token: str
    renewable: bool
    renew_at: float

    def __repr__(self) -> str:
        return "<the token of a login>"

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self.renew_at


def given_token(settings: Settings) -> str:
    """Return the token of the file, of the environment or of the last ``vault login``.

    Raises:
        AuthenticationError: There is none.
        SettingsError: What is given is not a token, or its file cannot be read.
    """
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


def _login_body(access: Access) -> Mapping[str, str]:
    # Read for each login: Kubernetes replaces a pod's token, and others may as well.
    settings = access.settings
    if access.credential == APPROLE:
        secret = _secret(settings, "secret_id", None)
        role_id = settings.required_text("role_id")
        return {"role_id": role_id, **({"secret_id": secret} if secret else {})}
    default = POD_TOKEN if access.credential == KUBERNETES else None
    jwt = _secret(settings, "jwt", default)
    return {"role": settings.required_text("role"), "jwt": jwt or ""}


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
    is_word = text.isascii() and text.isprintable() and " " not in text
    if is_word and 0 < len(text) <= MAX_TOKEN and not text.startswith("{"):
        return text
    raise SettingsError(
        f"{source} does not hold a single token",
        hint="write the value alone, not the JSON reply that it came in",
    )


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
    return _Lease(token, auth.get("renewable") is True, time.monotonic() + seconds * RENEW_AFTER)
