"""The options of the plugin, and the access that settings and environment describe."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ksm_storage.plugin import (
    Connection,
    CredentialKind,
    Option,
    Settings,
    SettingsError,
    credential_kind,
    endpoint_setting,
    standard_options,
    validate_endpoint,
)

TOKEN = "token"  # noqa: S105  # the name of a kind of credential
APPROLE = "approle"
KUBERNETES = "kubernetes"
JWT = "jwt"
AGENT = "agent"

_LOGIN = ("auth_mount",)
_KINDS: Mapping[str, CredentialKind] = {
    TOKEN: CredentialKind(optional=("token", "token_file", "renew_token")),
    APPROLE: CredentialKind(("role_id",), ("secret_id", "secret_id_file", *_LOGIN)),
    KUBERNETES: CredentialKind(("role",), ("jwt_file", *_LOGIN)),
    JWT: CredentialKind(("role",), ("jwt", "jwt_file", *_LOGIN)),
    AGENT: CredentialKind(),
}

_PATH = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
_UNIX = "unix://"


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        *standard_options("Vault or OpenBao"),
        Option("agent_socket", "Path of the Unix socket of an agent or proxy."),
        Option("namespace", "Namespace of the secrets engine and of the login."),
        Option("credential", "Kind of login.", default=TOKEN, choices=tuple(_KINDS)),
        Option("auth_mount", "Path where the auth method is mounted."),
        Option("token", "Token to send.", secret=True),
        Option("token_file", "File that holds the token."),
        Option("renew_token", "Renew the given token while it is used.", kind=bool, default=False),
        Option("role", "Role to log in as, for kubernetes and jwt."),
        Option("role_id", "Role id, for approle."),
        Option("secret_id", "Secret id, for approle.", secret=True),
        Option("secret_id_file", "File that holds the secret id."),
        Option("jwt", "JSON web token to log in with.", secret=True),
        Option("jwt_file", "File that holds the JSON web token."),
    ]


class Address(NamedTuple):
    """Hold where the server or its agent listens, and who said so.

    Attributes:
        url: The URL, without a slash at its end; empty for a socket.
        socket: The path of a Unix socket, or None.
        source: The setting or the environment variable that it comes from.
    """

    url: str
    socket: str | None
    source: str

    def __str__(self) -> str:
        return self.url if self.socket is None else f"{_UNIX}{self.socket}"


class Access(NamedTuple):
    """Hold how the server is reached, and by whom."""

    address: Address
    namespace: str | None
    connection: Connection
    credential: str
    auth_mount: str
    settings: Settings


def access_from(settings: Settings) -> Access:
    """Check the settings, and fill in what the environment of ``vault`` and ``bao`` says.

    Raises:
        SettingsError: A setting or a variable cannot be used, or there is no address.
    """
    credential = credential_kind(settings, _KINDS)
    connection = Connection.from_settings(settings)
    for one, other in (("secret_id", "secret_id_file"), ("jwt", "jwt_file")):
        _refuse_both(settings, one, other)
    _refuse_both(settings, "token", "token_file")
    if credential == JWT and not (settings.given("jwt") or settings.given("jwt_file")):
        raise SettingsError("the setting 'jwt_file' or 'jwt' is missing for credential 'jwt'")
    if connection.ca_file is None:
        connection = connection._replace(ca_file=_ca_file())
    mount = settings.text("auth_mount") or credential
    if not is_path(mount):
        raise SettingsError(
            "the setting 'auth_mount' is not a valid mount path",
            hint="write it without 'auth/', as in 'kubernetes-prod'",
        )
    return Access(
        address=_address(settings, credential),
        namespace=_namespace(settings),
        connection=connection,
        credential=credential,
        auth_mount=mount,
        settings=settings,
    )


def is_path(text: str) -> bool:
    """Tell whether the text is a path of the API that needs no escaping and leads nowhere else."""
    return _PATH.fullmatch(text) is not None and len(text) <= 512


def variable(*names: str) -> tuple[str, str] | None:
    """Return the first variable that is set, BAO_ before VAULT_, with its name; or None."""
    for name in (f"{prefix}_{name}" for name in names for prefix in ("BAO", "VAULT")):
        if value := os.environ.get(name):
            return value, name
    return None


def _address(settings: Settings, credential: str) -> Address:
    _refuse_both(settings, "agent_socket", "endpoint")
    if (path := settings.text("agent_socket")) is not None:
        return _socket(path, "the setting 'agent_socket'")
    if (url := endpoint_setting(settings, "endpoint")) is not None:
        return Address(url, None, "the setting 'endpoint'")
    found = variable(*(("AGENT_ADDR", "ADDR") if credential == AGENT else ("ADDR",)))
    if found is None:
        raise SettingsError(
            "the address of the Vault or OpenBao server is missing",
            hint="set the option 'endpoint', or the environment variable VAULT_ADDR",
        )
    url, source = found[0], f"the environment variable {found[1]!r}"
    if url.startswith(_UNIX):
        return _socket(url.removeprefix(_UNIX), source)
    validate_endpoint(url, named=source)
    return Address(url.rstrip("/"), None, source)


def _socket(path: str, source: str) -> Address:
    # Longer ones do not fit into an address of the kernel; connecting would not say so.
    if not os.path.isabs(path) or not path.isprintable() or len(os.fsencode(path)) > 100:
        raise SettingsError(f"{source} is not an absolute path of up to 100 bytes")
    return Address("", path, source)


def _namespace(settings: Settings) -> str | None:
    found = variable("NAMESPACE")
    text = settings.text("namespace") or (found[0] if found else "")
    text = text.strip("/")
    if text and not is_path(text):
        raise SettingsError(
            "the namespace is not a valid path",
            hint="check the option 'namespace' and the environment variable VAULT_NAMESPACE",
        )
    return text or None


def _ca_file() -> str | None:
    found = variable("CACERT")
    if found is None:
        return None
    # Loads TLS, which no other option needs.
    from ksm_storage.plugin import validate_ca_bundle

    path, name = found
    validate_ca_bundle(path, setting=name)
    return path


def _refuse_both(settings: Settings, one: str, other: str) -> None:
    if settings.given(one) and settings.given(other):
        raise SettingsError(f"the settings {one!r} and {other!r} cannot be combined")
