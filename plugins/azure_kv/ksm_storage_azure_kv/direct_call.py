"""Send one ``unwrapKey`` or ``decrypt`` without the Azure client.

Only with credentials that need a variable, a file or one request to the metadata service, and in
the public cloud; the Azure client sends every other call, and repeats one that failed here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from ksm_storage import plugin as kit

from .hooks import HSM_SUFFIXES, VAULT_SUFFIXES, Access, host_of

# Any other can choose other credentials, another authority or another way to it.
_KNOWN = (
    "TENANT_ID CLIENT_ID CLIENT_SECRET FEDERATED_TOKEN_FILE AUTHORITY_HOST "
    "POD_IDENTITY_AUTHORITY_HOST CONFIG_DIR CORE_COLLECT_TELEMETRY"
)
# They mean another kind of managed identity than a virtual machine's.
_HOSTED = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT")
_AUTHORITY, _METADATA = "https://login.microsoftonline.com", "http://169.254.169.254"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def unwrap(
    key: kit.KeyName, access: Access, path: str, body: Mapping[str, str]
) -> Mapping[str, Any]:
    """Get a token, send the request, and return the reply.

    Raises:
        NotDirectError: The Azure client must send it, or the vault refused it.
        Exception: The call failed.
    """
    credential_source(key, access)
    host = host_of(key)
    vault = kit.HttpApi(f"https://{host}", access.connection, attempts=1, address=access.address)
    token = _token(access, vault, f"https://{host.partition('.')[2]}")
    return kit.exchange_with_token(vault, path, token, body)


def credential_source(key: kit.KeyName, access: Access) -> str:
    """Return where the credentials of a direct call come from; nothing is sent.

    Raises:
        NotDirectError: The Azure client sends the calls.
    """
    kind, environment = access.credential.kind, os.environ
    kit.require_direct("AZURE_", _KNOWN, allowed=access.may_call_directly)
    if host_of(key).partition(".")[2] not in (VAULT_SUFFIXES[0], HSM_SUFFIXES[0]):
        raise kit.NotDirectError("the vault is not in the public cloud")
    if kind in ("default", "environment") and all(_principal(access)):
        return "environment"
    if kind == "managed-identity" and not any(name in environment for name in _HOSTED):
        return "managed identity"
    if kind == "client-secret" or (kind == "workload-identity" and all(_workload(access))):
        return kind
    raise kit.NotDirectError(f"the credential is {kind!r}")


def _principal(access: Access) -> tuple[str, str, str]:
    given = access.credential
    if given.kind == "client-secret":
        return given.tenant_id or "", given.client_id or "", given.client_secret() or ""
    tenant, client = (os.environ.get(f"AZURE_{name}", "") for name in ("TENANT_ID", "CLIENT_ID"))
    return tenant, client, os.environ.get("AZURE_CLIENT_SECRET", "")


def _workload(access: Access) -> tuple[str, str, str]:
    given, environment = access.credential, os.environ
    return (
        given.tenant_id or environment.get("AZURE_TENANT_ID", ""),
        given.client_id or environment.get("AZURE_CLIENT_ID", ""),
        given.token_file or environment.get("AZURE_FEDERATED_TOKEN_FILE", ""),
    )


def _token(access: Access, vault: kit.HttpApi, resource: str) -> str:
    kind = access.credential.kind
    form = {"grant_type": "client_credentials", "scope": f"{resource}/.default"}
    if kind == "managed-identity":
        return _from_metadata(access, resource)
    if kind == "workload-identity":
        tenant, form["client_id"], path = _workload(access)
        with open(path, encoding="ascii", opener=kit.only_regular) as file:
            form["client_assertion"] = file.read()
        form["client_assertion_type"] = _ASSERTION
    else:
        tenant, form["client_id"], form["client_secret"] = _principal(access)
    authority = access.credential.authority or os.environ.get("AZURE_AUTHORITY_HOST") or _AUTHORITY
    url = authority if "://" in authority else f"https://{authority}"
    parts = urlsplit(url)
    is_plain = parts.scheme == "https" and parts.path in ("", "/")
    if not is_plain or not tenant.replace("-", "").replace(".", "").isalnum():
        raise kit.NotDirectError("the authority or the tenant is malformed")
    api = vault.to(f"https://{parts.netloc}")
    reply = kit.exchange_form(api, f"/{tenant}/oauth2/v2.0/token", form)
    return kit.text_member(reply, "access_token")


def _from_metadata(access: Access, resource: str) -> str:
    query = {"api-version": "2018-02-01", "resource": resource}
    if access.credential.client_id is not None:
        query["client_id"] = access.credential.client_id
    url = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _METADATA
    api = kit.HttpApi(url, access.connection._replace(connect_timeout=1.0), attempts=1)
    path = f"/metadata/identity/oauth2/token?{urlencode(query)}"
    reply, _ = kit.exchange_json(api, "GET", path, {"metadata": "true"})
    return kit.text_member(reply, "access_token")
