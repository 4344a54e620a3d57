"""Send one ``decrypt`` or ``asymmetricDecrypt`` without the Google client.

Only with the key file of a service account or the metadata server, over the REST API; the Google
client sends every other call, and repeats one that failed here.
"""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
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
# Method of the Google client -> that of the REST API.
_METHODS = {"decrypt": "decrypt", "asymmetric_decrypt": "asymmetricDecrypt"}
_MEMBERS = {
    "ciphertext": "ciphertext",
    "ciphertext_crc32c": "ciphertextCrc32c",
    "additional_authenticated_data": "additionalAuthenticatedData",
    "additional_authenticated_data_crc32c": "additionalAuthenticatedDataCrc32c",
}
# Any other member of the file can change who calls, or how.
_ACCOUNT = (
    "type project_id private_key_id private_key client_email client_id auth_uri token_uri "
    "auth_provider_x509_cert_url client_x509_cert_url universe_domain"
)
_LOGIN = "~/.config/gcloud/application_default_credentials.json"
_METADATA = "169.254.169.254"
_METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_UNIVERSE = "googleapis.com"
_TOKEN_SECONDS = 3600


def unwrap(access: Access, method: str, request: Mapping[str, object]) -> SimpleNamespace:
    """Get a token, send the request, and return the reply's members by the client's names.

    Raises:
        NotDirectError: The Google client must send it, or Cloud KMS refused it.
        Exception: The call failed.
    """
    token = _token(access)
    members = {_MEMBERS[name]: value for name, value in request.items() if name != "name"}
    body = {
        # 64-bit numbers are texts in Google's JSON.
        name: kit.to_base64(value) if isinstance(value, bytes) else str(value)
        for name, value in members.items()
    }
    path = f"/v1/{request['name']}:{_METHODS[method]}"
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    api = kit.HttpApi(access.endpoint, access.connection, attempts=1)
    reply, _ = kit.exchange_json(api, "POST", path, headers, json.dumps(body).encode())
    kit.require_texts(reply.get("plaintext"), reply.get("plaintextCrc32c"))
    return SimpleNamespace(
        plaintext=kit.from_base64(reply["plaintext"]),
        plaintext_crc32c=int(reply["plaintextCrc32c"]),
        verified_ciphertext_crc32c=reply.get("verifiedCiphertextCrc32c"),
    )


def credential_source(access: Access) -> str:
    """Return what a direct call uses; nothing is sent.

    Raises:
        NotDirectError: The Google client sends the calls.
    """
    account = _account(access)
    return "a token of the metadata server" if account is None else "the service account's key"


def signed_token(account: Mapping[str, Any]) -> str:
    """Return a token that a service account signs itself, valid for an hour from now.

    Source: Google AIP-4111, self-signed JWT with scopes.
    """
    email, key_id, now = account["client_email"], account["private_key_id"], int(time.time())
    kit.require_texts(email, key_id)
    header = {"typ": "JWT", "alg": "RS256", "kid": key_id}
    claims = {"iss": email, "sub": email, "iat": now, "exp": now + _TOKEN_SECONDS}
    parts = header, {**claims, "scope": " ".join(SCOPES)}
    text = b".".join(_url_base64(json.dumps(part).encode()) for part in parts)
    signature = kit.rsa_signature(account["private_key"].encode(), text)
    return b".".join((text, _url_base64(signature))).decode()


def _url_base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _account(access: Access) -> dict[str, Any] | None:
    """Return the key file of a service account, None for the metadata server."""
    for prefix, known in _KNOWN.items():
        kit.require_direct(prefix, known, allowed=access.may_call_directly)
    path = access.credentials_file
    if access.credential == IMPERSONATION or access.quota_project is not None:
        raise kit.NotDirectError("by the settings")
    if access.credential == DEFAULT and path is None:
        login = os.path.expanduser(_LOGIN)
        path = os.environ.get(VARIABLE) or (login if os.path.exists(login) else None)
        if path is None and ("NO_GCE_CHECK" in os.environ or os.name == "nt"):
            raise kit.NotDirectError("there is no file of credentials")
    if path is None:
        return None
    file = read_file(path)
    is_plain = file.get("type") == "service_account" and {*file} <= {*_ACCOUNT.split()}
    if not is_plain or file.get("universe_domain", _UNIVERSE) != _UNIVERSE:
        raise kit.NotDirectError("the credentials file is not just the key of a service account")
    return file


def _token(access: Access) -> str:
    account = _account(access)
    if account is not None:
        return signed_token(account)
    host = os.environ.get("GCE_METADATA_HOST") or _METADATA
    api = kit.HttpApi(f"http://{host}", access.connection._replace(connect_timeout=1.0), attempts=1)
    path = f"{_METADATA_PATH}?{urlencode({'scopes': ','.join(SCOPES)})}"
    reply, headers = kit.exchange_json(api, "GET", path, {"metadata-flavor": "Google"})
    kit.require_texts(reply.get("access_token"))
    if headers.get("metadata-flavor") != "Google":
        raise kit.NotDirectError("the reply is not from a metadata server")
    return str(reply["access_token"])
