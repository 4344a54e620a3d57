"""Check a Google credentials file: the library has one text, or none, for most of what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ksm_storage import plugin as kit

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"

# Type -> members without which the library cannot use the file.
# Source: google-auth, ``google.auth._default`` and the classes of ``google.oauth2``.
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
    "service_account": ("client_email", "private_key", "token_uri"),
    "external_account": ("audience", "subject_token_type", "token_url", "credential_source"),
    "external_account_authorized_user": ("client_id", "client_secret", "refresh_token"),
    "impersonated_service_account": ("service_account_impersonation_url", "source_credentials"),
    "gdch_service_account": ("private_key", "token_uri"),
}
_MAY_RUN = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"
_HINT = f"check the option 'credentials_file' and {VARIABLE}"


def validate_file(path: str | None) -> None:
    """Refuse a file that the library cannot use; None is for the other sources.

    Raises:
        SettingsError: What is wrong, with the member of the file; no value is repeated.
    """
    if not path:
        return
    content = read_file(path)
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise _error(
            "has no known 'type'",
            "use the JSON file of a service account, of a federation, or of: gcloud auth "
            "application-default login; a file of an OAuth client is another thing",
        )
    for name in _MEMBERS[kind]:
        if not content.get(name):
            raise _error(f"has no {name!r}", f"it must be of the type {kind!r}, complete; {_HINT}")
    key = content.get("private_key", "-----BEGIN")
    if not isinstance(key, str) or not key.lstrip().startswith("-----BEGIN"):
        raise _error("has a 'private_key' that is not PEM", "download the key again")
    if "\\n" in key:
        raise _error(
            "has a 'private_key' with '\\n' in the place of line ends",
            "a template or a variable escaped it twice: download the key again, and copy the file",
        )
    if kind == "external_account":
        _validate_source(content["credential_source"])


def gcloud_file() -> str | None:
    """Return the path of the file that ``gcloud auth application-default login`` writes, if any."""
    from google.auth._cloud_sdk import get_application_default_credentials_path

    path = str(get_application_default_credentials_path())
    return path if os.path.isfile(path) else None


def is_federated(path: str | None) -> bool:
    """Tell whether the file, or the one of the environment, is one of a federation."""
    path = path or os.environ.get(VARIABLE)
    try:
        return path is not None and read_file(path).get("type") == "external_account"
    except kit.SettingsError:
        return False


def read_file(path: str) -> dict[str, Any]:
    """Return the object in a file of credentials; it may hold a private key.

    Raises:
        SettingsError: It cannot be read, or is not a JSON object.
    """
    if path.lstrip().startswith("{"):
        raise _error("is given as JSON, and not as the path of a file", _HINT)
    if not path.isprintable():
        raise _error("has a line end or a control character in its path", _HINT)
    if os.path.isdir(path):
        raise _error("is a folder", _HINT)
    try:
        with open(path, "rb", opener=kit.only_regular) as file:
            raw = file.read()
        # The library reads UTF-8 without a mark, the parser more.
        content = json.loads(raw.decode())
    except OSError as exc:
        raise _error(f"cannot be read: {exc.strerror}", _HINT) from exc
    except (ValueError, RecursionError):
        content = None
    else:
        if isinstance(content, dict):
            return content
        raise _error("is not a JSON object", _HINT)
    # Outside the except block on purpose: the parser's exception holds the file.
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _error(
            "is not valid JSON: it begins with a byte order mark",
            f"save it as UTF-8 without the mark; {_HINT}",
        )
    raise _error("is not valid JSON", _HINT)


def _validate_source(source: object) -> None:
    hint = "check 'credential_source' in the credentials file, and what writes the token"
    if not isinstance(source, dict):
        raise _error("has no valid 'credential_source'", hint)
    if "executable" in source and os.environ.get(_MAY_RUN) != "1":
        raise _error(
            "names an executable, which is not allowed to run", f"set {_MAY_RUN}=1 to allow it"
        )
    if "file" not in source:
        return
    try:
        with open(str(source["file"]), "rb", opener=kit.only_regular) as file:
            token = file.read().strip()
    except OSError as exc:
        raise _error(f"names a federated token that cannot be read: {exc.strerror}", hint) from exc
    form = source.get("format")
    if isinstance(form, dict) and form.get("type") == "json" and not token.startswith(b"{"):
        token = b""
    if not token:
        raise _error("names a federated token file that holds no token", hint)


def _error(what: str, hint: str) -> kit.SettingsError:
    return kit.SettingsError(f"the Google credentials file {what}", hint=hint)
