"""The hooks of the provider ``vault-transit``: its options and the access they describe."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ksm_storage import plugin as kit

TOKEN = "token"  # noqa: S105  # the name of a kind of credential
APPROLE = "approle"
KUBERNETES = "kubernetes"
JWT = "jwt"
AGENT = "agent"

_LOGIN = ("auth_mount",)
_KINDS: Mapping[str, kit.CredentialKind] = {
    TOKEN: kit.CredentialKind(optional=("token", "token_file", "renew_token")),
    APPROLE: kit.CredentialKind(("role_id",), ("secret_id", "secret_id_file", *_LOGIN)),
    KUBERNETES: kit.CredentialKind(("role",), ("jwt_file", *_LOGIN)),
    JWT: kit.CredentialKind(("role",), ("jwt", "jwt_file", *_LOGIN)),
    AGENT: kit.CredentialKind(),
}

_PATH = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
_UNIX = "unix://"
_API_PATHS = ("/v1", "/ui")


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how the server is reached and who asks."""
    return [
        *kit.standard_options("Vault or OpenBao"),
        kit.Option("agent_socket", "Path of the Unix socket of an agent or proxy."),
        kit.Option("namespace", "Namespace of the secrets engine and of the login."),
        kit.Option("credential", "Kind of login.", default=TOKEN, choices=tuple(_KINDS)),
        kit.Option("auth_mount", "Path where the auth method is mounted."),
        kit.Option("token", "Token to send.", secret=True),
        kit.Option("token_file", "File that holds the token."),
        kit.Option(
            "renew_token", "Renew the given token while it is used.", kind=bool, default=False
        ),
        kit.Option("role", "Role to log in as, for kubernetes and jwt."),
        kit.Option("role_id", "Role id, for approle."),
        kit.Option("secret_id", "Secret id, for approle.", secret=True),
        kit.Option("secret_id_file", "File that holds the secret id."),
        kit.Option("jwt", "JSON web token to log in with.", secret=True),
        kit.Option("jwt_file", "File that holds the JSON web token."),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the server is first called when it is used."""
    from .client import VaultClient
    from .key_wrapper import TransitKey, TransitKeyWrapper

    return TransitKeyWrapper(TransitKey.parse(key_id), VaultClient(access_from(settings)))


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let the name of a signing key stand for each of its versions."""
    path, separator, version = key_id.rpartition("@")
    return trusted == key_id or (separator == "@" and version.isdecimal() and trusted == path)


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
    connection: kit.Connection
    credential: str
    auth_mount: str
    settings: kit.Settings


def access_from(settings: kit.Settings) -> Access:
    """Check the settings, and fill in what the environment of ``vault`` and ``bao`` says.

    Raises:
        SettingsError: A setting or a variable cannot be used, or there is no address.
    """
    credential = kit.credential_kind(settings, _KINDS)
    connection = kit.Connection.from_settings(settings)
    for one, other in (("secret_id", "secret_id_file"), ("jwt", "jwt_file")):
        _refuse_both(settings, one, other)
    _refuse_both(settings, "token", "token_file")
    if credential == JWT and not (settings.given("jwt") or settings.given("jwt_file")):
        raise kit.SettingsError("the setting 'jwt_file' or 'jwt' is missing for credential 'jwt'")
    if connection.ca_file is None:
        connection = connection._replace(ca_file=_ca_file()).trusting()
    mount = settings.text("auth_mount") or credential
    if not is_path(mount):
        raise kit.SettingsError(
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


def _address(settings: kit.Settings, credential: str) -> Address:
    _refuse_both(settings, "agent_socket", "endpoint")
    if (path := settings.text("agent_socket")) is not None:
        return _socket(path, "the setting 'agent_socket'")
    if (url := kit.endpoint_setting(settings, "endpoint")) is not None:
        return _server(url, "the setting 'endpoint'")
    found = variable(*(("AGENT_ADDR", "ADDR") if credential == AGENT else ("ADDR",)))
    if found is None:
        raise kit.SettingsError(
            "the address of the Vault or OpenBao server is missing",
            hint="set the option 'endpoint', or the environment variable VAULT_ADDR",
        )
    url, source = found[0], f"the environment variable {found[1]!r}"
    if url.startswith(_UNIX):
        return _socket(url.removeprefix(_UNIX), source)
    kit.validate_endpoint(url, named=source)
    return _server(url, source)


def _server(url: str, source: str) -> Address:
    from urllib.parse import urlsplit

    url = url.rstrip("/")
    if urlsplit(url).path.endswith(_API_PATHS):
        raise kit.SettingsError(
            f"{source} ends with a path of the API or the web interface: {url!r}",
            hint="write the address alone, as in https://vault.example.com:8200",
        )
    return Address(url, None, source)


def _socket(path: str, source: str) -> Address:
    # Longer ones do not fit into an address of the kernel; connecting would not say so.
    if not os.path.isabs(path) or not path.isprintable() or len(os.fsencode(path)) > 100:
        raise kit.SettingsError(f"{source} is not an absolute path of up to 100 bytes")
    return Address("", path, source)


def _namespace(settings: kit.Settings) -> str | None:
    found = variable("NAMESPACE")
    text = settings.text("namespace") or (found[0] if found else "")
    text = text.strip("/")
    if text and not is_path(text):
        raise kit.SettingsError(
            "the namespace is not a valid path",
            hint="check the option 'namespace' and the environment variable VAULT_NAMESPACE",
        )
    return text or None


def _ca_file() -> str | None:
    # The order of both programs: a file before a folder.
    found = variable("CACERT", "CAPATH")
    if found is None:
        return None
    path, name = found
    kit.validate_authorities(path, named=f"the environment variable {name}")
    return path


def _refuse_both(settings: kit.Settings, one: str, other: str) -> None:
    if settings.given(one) and settings.given(other):
        raise kit.SettingsError(f"the settings {one!r} and {other!r} cannot be combined")
