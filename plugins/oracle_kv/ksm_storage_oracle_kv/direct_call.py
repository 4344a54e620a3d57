"""Send one ``decrypt`` without Oracle's client.

Only with the API key of a configuration file that holds nothing else, or as the instance that this
is, and to an endpoint that no other configuration changes; Oracle's client sends every other call,
and repeats one that failed here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from types import SimpleNamespace
from urllib.parse import urlsplit

from ksm_storage import plugin as kit

from .hooks import CONFIG_FILE, INSTANCE, Access

Sign = Callable[[bytes], bytes]
PATH = "/20180608/decrypt"
SIGNED = ("date", "(request-target)", "host", "content-length", "content-type", "x-content-sha256")
_IN_REPLY = ("plaintext", "plaintext_checksum", "key_id", "key_version_id")
_LINES = frozenset({"user", "tenancy", "fingerprint", "key_file", "region"})
# Each region of the commercial realm but these two stands in OCIDs by its full name.
_SHORT = {"iad": "us-ashburn-1", "phx": "us-phoenix-1"}
_REGION = re.compile(r"[a-z]{2}-[a-z]+-[0-9]")
_REGIONS = "~/.oci/regions-config.json"
_METADATA = "http://169.254.169.254/opc/v2"
_REGION_VARIABLES = ("OCI_REGION_METADATA", "OCI_DEFAULT_REALM")


def decrypt(
    name: kit.KeyName, access: Access, details: Mapping[str, object]
) -> tuple[SimpleNamespace, str | None]:
    """Send the request, and return the reply's members and the request id.

    Raises:
        NotDirectError: Oracle's client must send it, or the vault refused it.
        Exception: The call failed.
    """
    url = _endpoint(name, access)
    api = kit.HttpApi(url, access.connection, attempts=1)
    raw = json.dumps({_in_json(member): value for member, value in details.items()}).encode()
    headers = signed_headers(url + PATH, raw, *_key(access, api))
    content, replied = kit.exchange_json(api, "POST", PATH, headers, raw)
    members = {member: content.get(_in_json(member)) for member in _IN_REPLY}
    if not all(isinstance(value, str | None) for value in members.values()):
        raise kit.NotDirectError("the reply is malformed")
    return SimpleNamespace(**members), replied.get("opc-request-id")


def credential_source(name: kit.KeyName, access: Access) -> str:
    """Return what a direct call signs with; nothing is sent.

    Raises:
        NotDirectError: Oracle's client sends the calls.
    """
    _endpoint(name, access)
    if access.credential == INSTANCE:
        metadata_url()
        return "the instance principal"
    return f"the API key {_config(access)['fingerprint']}"


def signed_headers(
    url: str, body: bytes, key_id: str, sign: Sign, signed: Sequence[str] = SIGNED
) -> dict[str, str]:
    """Return the headers of a POST with its signature, which is valid from now.

    Source: OCI documentation, "Request Signatures", version 1.

    Args:
        url: Where it is sent.
        body: Its body.
        key_id: The name of the key that signs: a user's key, or a token.
        sign: Returns the key's signature over a text.
        signed: What is signed.
    """
    parts = urlsplit(url)
    headers = {
        "date": formatdate(usegmt=True),
        "host": parts.netloc,
        "content-length": str(len(body)),
        "content-type": "application/json",
        "x-content-sha256": kit.to_base64(hashlib.sha256(body).digest()),
    }
    lines = {**headers, "(request-target)": f"post {parts.path or '/'}"}
    signature = sign("\n".join(f"{name}: {lines[name]}" for name in signed).encode())
    headers["authorization"] = (
        f'Signature algorithm="rsa-sha256",headers="{" ".join(signed)}",keyId="{key_id}",'
        f'signature="{kit.to_base64(signature)}",version="1"'
    )
    return headers


def metadata_url() -> str:
    """Return the address of the instance's metadata service.

    Raises:
        NotDirectError: It is not plain HTTP; anything else could lead through a proxy.
    """
    url = os.environ.get("OCI_METADATA_BASE_URL", "").strip() or _METADATA
    if not kit.is_plain_http(url):
        raise kit.NotDirectError("OCI_METADATA_BASE_URL is not an http URL")
    return url


def commercial_region(realm: str | None, name: str) -> str:
    """Return a region of the commercial realm by its full name.

    Raises:
        NotDirectError: The realm is another one, or it is no such name.
    """
    region = _SHORT.get(name, name)
    if realm != "oc1" or not _REGION.fullmatch(region):
        raise kit.NotDirectError("the region is not one of the commercial realm")
    return region


def _endpoint(name: kit.KeyName, access: Access) -> str:
    if not access.may_call_directly or access.credential not in (CONFIG_FILE, INSTANCE):
        raise kit.NotDirectError("by the settings")
    if {*_REGION_VARIABLES} & {*os.environ} or os.path.exists(os.path.expanduser(_REGIONS)):
        raise kit.NotDirectError("the regions are configured")
    if access.connection.endpoint is not None:
        if urlsplit(access.connection.endpoint).path:
            raise kit.NotDirectError("the endpoint has a path")
        return access.connection.endpoint
    region = commercial_region(name.parts["realm"], access.region or name.parts["region"] or "")
    return f"https://{name.parts['vault']}-crypto.kms.{region}.oraclecloud.com"


def _key(access: Access, vault: kit.HttpApi) -> tuple[str, Sign]:
    if access.credential == INSTANCE:
        from .instance_principal import session

        with kit.deadline_of(access.credential_timeout / 2):
            return session(access, vault)
    config = _config(access)
    with open(os.path.expanduser(config["key_file"]), "rb") as file:
        pem = file.read()
    name = f"{config['tenancy']}/{config['user']}/{config['fingerprint']}"
    return name, lambda text: kit.rsa_signature(pem, text)


def _config(access: Access) -> Mapping[str, str]:
    profile = access.profile or "DEFAULT"
    parser = kit.read_ini(access.config_location())
    config = dict(parser[profile]) if profile in parser else {}
    if access.passphrase() is not None or not {*config} <= _LINES or len(config) < len(_LINES):
        raise kit.NotDirectError(f"the profile {profile!r} is not just a key without passphrase")
    kit.require_texts(*config.values())
    return config


def _in_json(member: str) -> str:
    # Oracle's client writes key_id for keyId.
    return re.sub("_[a-z]", lambda found: found[0][1].upper(), member)
