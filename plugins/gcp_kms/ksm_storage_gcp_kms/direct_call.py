"""Send one ``decrypt`` or ``asymmetricDecrypt`` without the Google client.

Only with the key file of a service account, a federation file whose token is in a file, or the
metadata server, over the REST API; the Google client sends every other call, and repeats one that
failed here.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from ksm_storage import plugin as kit

from .credential_files import VARIABLE, read_file
from .hooks import DEFAULT, IMPERSONATION, SCOPES, Access

# Prefix -> what follows it in the variables that are understood here, or that change nothing. Any
# other can choose other credentials, another project, other authorities or another way.
_KNOWN = {
    "GOOGLE_": "APPLICATION_CREDENTIALS CLOUD_PROJECT",
    "GCE_": "METADATA_HOST METADATA_IP",
    "CLOUDSDK_CONFIG": "",
    "GRPC_": "ENABLE_FORK_SUPPORT VERBOSITY DEFAULT_SSL_ROOTS_FILE_PATH",
}
# Any other member of a file can change who calls, or how.
_ACCOUNT = (
    "type project_id private_key_id private_key client_email client_id auth_uri token_uri "
    "auth_provider_x509_cert_url client_x509_cert_url universe_domain"
)
_FEDERATION = (
    "type audience subject_token_type token_url token_info_url credential_source "
    "service_account_impersonation_url service_account_impersonation universe_domain"
)
_METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
# The client would send a federated token to any address that the file names. Source: the
# references of Security Token Service and of IAM Credentials, service endpoints.
_ADDRESS = (
    r"(https://{}(?:-[a-z0-9-]+\.p|\.[a-z0-9-]+\.rep)?\.googleapis\.com"
    r"|https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{{1,5}})?)({})"
)
_STS = _ADDRESS.format("sts", "/v1/token")
_IAM = _ADDRESS.format(
    "iamcredentials", "/v1/projects/-/serviceAccounts/([a-zA-Z0-9._@-]+):generateAccessToken"
)
# What the client asks for on the way to another account.
_IAM_SCOPE = "https://www.googleapis.com/auth/iam"
_OAUTH = "urn:ietf:params:oauth"
_TOKEN_SECONDS = 3600
MAX_SUBJECT_TOKEN = 1_048_576


def unwrap(access: Access, method: str, request: Mapping[str, object]) -> SimpleNamespace:
    """Get a token, send the request, and return the reply's members by the client's names.

    Raises:
        NotDirectError: The Google client must send it, or Cloud KMS refused it.
        Exception: The call failed.
    """
    api = kit.HttpApi(access.endpoint, access.connection, attempts=1)
    with kit.deadline_of(access.credential_timeout):
        token = _credentials(access)[1](api)
    body = {
        # 64-bit numbers are texts in Google's JSON.
        _camel_case(name): kit.to_base64(value) if isinstance(value, bytes) else str(value)
        for name, value in request.items()
        if name != "name"
    }
    path = f"/v1/{request['name']}:{_camel_case(method)}"
    reply = kit.exchange_with_token(api, path, token, body)
    return SimpleNamespace(
        plaintext=kit.from_base64(kit.text_member(reply, "plaintext")),
        plaintext_crc32c=int(kit.text_member(reply, "plaintextCrc32c")),
        verified_ciphertext_crc32c=reply.get("verifiedCiphertextCrc32c"),
    )


def credential_source(access: Access) -> str:
    """Return what a direct call uses; nothing is sent.

    Raises:
        NotDirectError: The Google client sends the calls.
    """
    return _credentials(access)[0]


def signed_token(account: Mapping[str, Any]) -> str:
    """Return a token that a service account signs itself, valid for an hour from now.

    Source: Google AIP-4111, self-signed JWT with scopes.
    """
    email, key_id, now = account["client_email"], account["private_key_id"], int(time.time())
    kit.require_texts(email, key_id)
    claims = {"iss": email, "sub": email, "iat": now, "exp": now + _TOKEN_SECONDS}
    claims["scope"] = " ".join(SCOPES)
    return kit.signed_web_token(account["private_key"].encode(), key_id, claims)


def _credentials(access: Access) -> tuple[str, Callable[[kit.HttpApi], str]]:
    """Return what is used and how a token is got; all that a file can have wrong is found here."""
    for prefix, known in _KNOWN.items():
        kit.require_direct(prefix, known, allowed=access.may_call_directly)
    path = access.credentials_file
    if access.credential == IMPERSONATION or access.quota_project is not None:
        raise kit.NotDirectError("by the settings")
    if access.credential == DEFAULT and path is None:
        login = os.path.expanduser("~/.config/gcloud/application_default_credentials.json")
        path = os.environ.get(VARIABLE) or (login if os.path.exists(login) else None)
        if path is None and ("NO_GCE_CHECK" in os.environ or os.name == "nt"):
            raise kit.NotDirectError("there is no file of credentials")
    if path is None:
        return "a token of the metadata server", lambda _: _metadata_token(access)
    file = read_file(path)
    if file.get("universe_domain", "googleapis.com") != "googleapis.com":
        raise kit.NotDirectError("the credentials file is of another universe")
    if file.get("type") == "service_account":
        _require_known(file, _ACCOUNT)
        return "the service account's key", lambda _: signed_token(file)
    # The kind "service-account" accepts nothing but its key.
    if file.get("type") != "external_account" or access.credential != DEFAULT:
        raise kit.NotDirectError("the credentials file is of another type")
    _require_known(file, _FEDERATION)
    exchange = _exchange(file)
    account = f" that impersonates {exchange[2][2]}" if exchange[2] else ""
    return f"a federated token{account}", lambda api: _federated_token(api, *exchange)


def _metadata_token(access: Access) -> str:
    host = os.environ.get("GCE_METADATA_HOST") or "169.254.169.254"
    api = kit.HttpApi(f"http://{host}", access.connection._replace(connect_timeout=1.0), attempts=1)
    path = f"{_METADATA_PATH}?{urlencode({'scopes': ','.join(SCOPES)})}"
    reply, headers = kit.exchange_json(api, "GET", path, {"metadata-flavor": "Google"})
    if headers.get("metadata-flavor") != "Google":
        raise kit.NotDirectError("the reply is not from a metadata server")
    return kit.text_member(reply, "access_token")


def _federated_token(
    api: kit.HttpApi, address: Sequence[str], form: Mapping[str, str], account: Sequence[str]
) -> str:
    # Source: RFC 8693, token exchange.
    reply = kit.exchange_form(api.to(address[0]), address[1], form)
    # The client fails where there is no expiry.
    token, _ = kit.text_member(reply, "access_token"), int(reply["expires_in"])
    if not account:
        return token
    body = {"scope": SCOPES, "lifetime": account[3]}
    reply = kit.exchange_with_token(api.to(account[0]), account[1], token, body)
    if not re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}Z", kit.text_member(reply, "expireTime")):
        raise kit.NotDirectError("the reply has no valid expiry")
    return kit.text_member(reply, "accessToken")


def _exchange(file: Mapping[str, Any]) -> tuple[Sequence[str], dict[str, str], Sequence[str]]:
    """Return the address, the form with the foreign token, and the account to impersonate.

    That is empty, or the host, the path, the e-mail address and the lifetime.
    """
    form = {
        "grant_type": f"{_OAUTH}:grant-type:token-exchange",
        "audience": kit.text_member(file, "audience"),
        "scope": " ".join(SCOPES),
        "requested_token_type": f"{_OAUTH}:token-type:access_token",
        "subject_token": _subject_token(file.get("credential_source")),
        "subject_token_type": kit.text_member(file, "subject_token_type"),
    }
    address, url = _parts(_STS, file.get("token_url")), "service_account_impersonation_url"
    options = file.get("service_account_impersonation", {})
    _require_known(options, "token_lifetime_seconds")
    seconds = options.get("token_lifetime_seconds", _TOKEN_SECONDS)
    # What generateAccessToken allows; other types of token are not those of identity providers.
    is_plain = isinstance(seconds, int) and 600 <= seconds <= 43_200
    if not is_plain or not form["subject_token_type"].startswith(f"{_OAUTH}:token-type:"):
        raise kit.NotDirectError("the federation file has an unusual value")
    if url not in file:
        return address, form, ()
    return address, {**form, "scope": _IAM_SCOPE}, (*_parts(_IAM, file[url]), f"{seconds}s")


def _subject_token(source: Any) -> str:
    _require_known(source, "file format")
    form, path = source.get("format", {}), source["file"]
    _require_known(form, "type subject_token_field_name")
    if not isinstance(path, str) or form.get("type", "text") not in ("text", "json"):
        raise kit.NotDirectError("the federation file has an unusual 'credential_source'")
    # As the client reads it: a line end is a part of the token.
    with open(path, encoding="utf-8", opener=kit.only_regular) as file:
        token = text = file.read(MAX_SUBJECT_TOKEN + 1)
    if form.get("type") == "json":
        token = json.loads(text).get(form["subject_token_field_name"])
    if len(text) > MAX_SUBJECT_TOKEN or not isinstance(token, str) or not token.strip():
        raise kit.NotDirectError("the file of the federated token holds no token")
    return token


def _parts(pattern: str, url: object) -> Sequence[str]:
    if (found := re.fullmatch(pattern, str(url))) is None:
        raise kit.NotDirectError("the federation file names another address than Google's")
    return found.groups()


def _require_known(members: object, names: str) -> None:
    if not isinstance(members, dict) or not {*members} <= {*names.split()}:
        raise kit.NotDirectError("the credentials file is not a plain one")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
