"""What it means that Oracle's client obtained no credentials: which file or variable is wrong.

Only a failure loads this module. Source: ``oci.config``, ``oci.auth.signers``.
"""

from __future__ import annotations

import configparser
import os
from typing import NamedTuple

from ksm_storage import plugin as kit

from .errors import CLIENT_FAILURES, from_reply, request_id_of, service_error_in
from .hooks import CONFIG_FILE, INSTANCE, OKE, RESOURCE, SECURITY_TOKEN, Access

_PRIVATE_KEY_FAILURES = frozenset({"InvalidPrivateKey", "MissingPrivateKeyPassphrase"})
_FILE_FAILURES = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# Oracle's client takes these from a program only.
_NOT_IN_FILES = ("key_content", "delegation_token")
_ADVICE = {
    CONFIG_FILE: "check the profile in Oracle's configuration file and the file of its key",
    SECURITY_TOKEN: "get a new token with: oci session authenticate, or: oci session refresh",
    INSTANCE: "this kind works on an OCI compute instance; elsewhere choose another "
    "'credential'; 'credential_timeout' sets the limit",
    RESOURCE: "this kind works where OCI sets OCI_RESOURCE_PRINCIPAL_VERSION and the variables of "
    "that version, as in functions; elsewhere choose another 'credential'",
    OKE: "this kind works in a pod of an enhanced OKE cluster, with a service account",
}
_PREFIX = "OCI_RESOURCE_PRINCIPAL_"
_NEEDED_FOR = {
    "1.1": ("RPT_ENDPOINT", "RPST_ENDPOINT"),
    "2.2": ("RPST", "PRIVATE_PEM"),
    **dict.fromkeys(("2.1", "2.1.1", "2.1.2"), ("RPT_ENDPOINT", "RPST_ENDPOINT", "PRIVATE_PEM")),
    "3.0": ("VERSION_FOR_LEAF_RESOURCE",),
}
_IN_POD = "/var/run/secrets/kubernetes.io/serviceaccount"


def credential_error(exc: Exception, access: Access, call: kit.Call) -> kit.KsmStorageError:
    """Return the documented error for credentials that were not obtained."""
    kind = access.credential
    service_error = service_error_in(exc)
    if service_error is not None and (service_error.status >= 500 or service_error.status == 429):
        return from_reply(service_error, call)
    if type(exc) is kit.DeadlinePassedError:
        return kit.UnavailableError(
            f"credentials of the kind {kind!r} were not obtained in time", hint=_ADVICE[kind]
        )
    if kind in (CONFIG_FILE, SECURITY_TOKEN):
        found = _Profile.of(access).error(exc)
        if found is not None:
            return found
    rule = None if service_error is not None else kit.rule_for_failure(exc, CLIENT_FAILURES)
    # The client says that a file cannot be read of variables that are not set, too.
    if rule is not None and rule is not kit.UNREADABLE_FILE and not rule.kind.retryable:
        return rule.error(call)
    if service_error is not None:
        code = f"{kit.shown_code(str(service_error.code))}, " if service_error.code else ""
        reason = f": its service refused with {code}status {service_error.status}"
    else:
        reason = _reason(exc, kind, is_network=rule is not None and rule.kind.retryable)
    return kit.AuthenticationError(
        f"cannot obtain credentials of the kind {kind!r}{reason}",
        hint=_ADVICE[kind],
        request_id=request_id_of(service_error),
    )


def _reason(exc: Exception, kind: str, *, is_network: bool) -> str:
    found = None
    if kind == RESOURCE:
        found = _resource_reason(exc, is_network=is_network)
    elif kind == OKE:
        found = _pod_reason()
    elif kind == INSTANCE and is_network:
        found = "cannot reach the instance's metadata service (169.254.169.254)"
    elif kind == SECURITY_TOKEN:
        found = "the profile's security token is malformed"
    return f": {found}" if found else ""


def _resource_reason(exc: Exception, *, is_network: bool) -> str | None:
    version = os.environ.get(f"{_PREFIX}VERSION")
    if version is None:
        return f"{_PREFIX}VERSION is not set"
    needed = _NEEDED_FOR.get(version)
    if needed is None:
        return f"{_PREFIX}VERSION is {version!r}, and must be one of {', '.join(_NEEDED_FOR)}"
    variables = [f"{_PREFIX}{name}" for name in needed]
    unset = [name for name in variables if not os.environ.get(name)]
    if unset:
        return f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set"
    for name in variables:
        path = os.environ[name]
        if os.path.isabs(path) and not os.access(path, os.R_OK):
            return f"cannot read the file {kit.shown_path(path)} of {name}"
    if is_network and version != "2.2":
        return f"cannot reach the URL of {_PREFIX}RPT_ENDPOINT or {_PREFIX}RPST_ENDPOINT"
    if _is_about_private_key(exc):
        return f"{_PREFIX}PRIVATE_PEM is not a private key, or its passphrase is missing or wrong"
    return f"the token of {_PREFIX}RPST is malformed or expired" if version == "2.2" else None


def _pod_reason() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if not host:
        return "KUBERNETES_SERVICE_HOST is not set, so this is not a pod"
    authorities = os.environ.get("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", f"{_IN_POD}/ca.crt")
    for path in (authorities, f"{_IN_POD}/token"):
        if not os.access(path, os.R_OK):
            return f"cannot read {kit.shown_path(path)}"
    return f"no valid reply from the cluster's token service at {host}:12250"


def _is_about_private_key(exc: Exception) -> bool:
    return any(type(link).__name__ in _PRIVATE_KEY_FAILURES for link in kit.chain_of(exc))


class _Profile(NamedTuple):
    """Hold the profile that the client reads, and say what is wrong with it."""

    path: str
    name: str

    @classmethod
    def of(cls, access: Access) -> _Profile:
        return cls(os.path.expanduser(access.config_location()), access.profile or "DEFAULT")

    def __str__(self) -> str:
        return f"the profile {self.name!r} of {kit.shown_path(self.path)}"

    def error(self, exc: Exception) -> kit.KsmStorageError | None:
        """Return the error for a file that is missing, malformed or not what it should be."""
        kinds = {type(link).__name__: link for link in kit.chain_of(exc)}
        if "ConfigFileNotFound" in kinds:
            return kit.SettingsError(
                f"Oracle's configuration file was not found: {kit.shown_path(self.path)}",
                hint="check the options 'config_file' and 'credential', and OCI_CONFIG_FILE; on "
                "OCI the credential may be instance-principal or resource-principal",
            )
        if "ProfileNotFound" in kinds:
            return kit.SettingsError(
                f"{self} does not exist",
                hint=f"check the options 'profile' and 'config_file'{self._others()}",
            )
        if "InvalidKeyFilePath" in kinds:
            return kit.SettingsError(
                f"the key file {self._shown('key_file')} of {self} does not exist",
                hint="check key_file in the profile; write the path without quotes",
            )
        if (invalid := kinds.get("InvalidConfig")) is not None:
            return self._incomplete(invalid)
        for member in _NOT_IN_FILES:
            if self._text(member) is not None:
                return kit.SettingsError(
                    f"{self} has {member!r}, which Oracle's client does not accept in a file",
                    hint="write the private key to a file of its own, and name it with key_file",
                )
        if _is_about_private_key(exc):
            return self._bad_key(has_passphrase="MissingPrivateKeyPassphrase" in kinds)
        return self._unreadable(exc)

    def _incomplete(self, invalid: BaseException) -> kit.KsmStorageError:
        said = invalid.args[0] if invalid.args and isinstance(invalid.args[0], dict) else {}
        members = ", ".join(
            f"{name} {state}"
            for name, state in said.items()
            if isinstance(name, str) and name.isidentifier() and state in ("missing", "malformed")
        )
        return kit.SettingsError(
            f"{self} is incomplete or malformed{f': {members}' if members else ''}",
            hint="create one with: oci setup config; for a profile with a security token set the "
            f"option 'credential' to security-token{self._others()}",
        )

    def _bad_key(self, *, has_passphrase: bool) -> kit.KsmStorageError:
        key = f"the private key {self._shown('key_file')} of {self}"
        if has_passphrase:
            return kit.AuthenticationError(
                f"{key} has a passphrase, and none is set",
                hint="set the option 'passphrase', or pass_phrase in the profile",
            )
        return kit.AuthenticationError(
            f"cannot read {key}, or its passphrase is wrong",
            hint="check key_file in the profile, which must be an RSA private key in PEM, and the "
            "option 'passphrase'",
        )

    def _unreadable(self, exc: Exception) -> kit.KsmStorageError | None:
        if isinstance(exc, (configparser.Error, UnicodeDecodeError)):
            line = getattr(exc, "lineno", None) or next(
                (number for number, _ in getattr(exc, "errors", ())), None
            )
            where = f" (line {line})" if isinstance(line, int) else ""
            if isinstance(exc, configparser.Error) or self._text("user") is None:
                return kit.SettingsError(
                    f"Oracle's configuration file {kit.shown_path(self.path)} is malformed{where}",
                    hint="write each profile once, as [NAME] with lines like user=ocid1.user..., "
                    "in UTF-8 without a byte order mark",
                )
        if isinstance(exc, _FILE_FAILURES):
            return kit.SettingsError(
                f"cannot read {kit.shown_path(str(exc.filename))}, which {self} names: "
                f"{exc.strerror}",
                hint="check key_file and security_token_file in the profile, and the option "
                "'ca_file'",
            )
        return None

    def _parser(self) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(self.path)
        except (configparser.Error, UnicodeDecodeError, OSError):
            return configparser.ConfigParser()
        return parser

    def _text(self, member: str) -> str | None:
        parser = self._parser()
        return parser[self.name].get(member) if self.name in parser else None

    def _shown(self, member: str) -> str:
        return kit.shown_path(os.path.expanduser(self._text(member) or ""))

    def _others(self) -> str:
        names = [name for name in self._parser().sections() if name != self.name]
        return f"; the file also has: {', '.join(map(repr, names[:8]))}" if names else ""
