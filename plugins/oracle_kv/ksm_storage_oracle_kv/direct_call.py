"""Send one ``decrypt`` without Oracle's client.

Only with the API key of a configuration file that holds nothing else, and to an endpoint that no
other configuration changes; Oracle's client sends every other call, and repeats one that failed
here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from types import SimpleNamespace
from urllib.parse import urlsplit

from ksm_storage import plugin as kit

from .hooks import CONFIG_FILE, Access

PATH = "/20180608/decrypt"
_MEMBERS = {
    "key_id": "keyId",
    "key_version_id": "keyVersionId",
    "encryption_algorithm": "encryptionAlgorithm",
    "associated_data": "associatedData",
    "ciphertext": "ciphertext",
}
_IN_REPLY = {
    "plaintext": "plaintext",
    "plaintext_checksum": "plaintextChecksum",
    "key_id": "keyId",
    "key_version_id": "keyVersionId",
}
_LINES = frozenset({"user", "tenancy", "fingerprint", "key_file", "region"})
# Each region of the commercial realm but these two stands in OCIDs by its full name.
_SHORT = {"iad": "us-ashburn-1", "phx": "us-phoenix-1"}
_REGION = re.compile(r"[a-z]{2}-[a-z]+-[0-9]")
_REGIONS = "~/.oci/regions-config.json"
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_SIGNED = ("date", "(request-target)", "host", "content-length", "content-type", "x-content-sha256")


def decrypt(
    name: kit.KeyName, access: Access, details: Mapping[str, object]
) -> tuple[SimpleNamespace, str | None]:
    """Send the request, and return the reply's members and the request id.

    Raises:
        NotDirectError: Oracle's client must send it, or the vault refused it.
        Exception: The call failed.
    """
    url = _endpoint(name, access)
    config = _config(access)
    raw = json.dumps({_MEMBERS[member]: value for member, value in details.items()}).encode()
    headers = signed_headers("post", PATH, urlsplit(url).netloc, raw, config)
    api = kit.HttpApi(url, access.connection, attempts=1)
    content, replied = kit.exchange_json(api, "POST", PATH, headers, raw)
    members = {member: content.get(key) for member, key in _IN_REPLY.items()}
    if not all(isinstance(value, str | None) for value in members.values()):
        raise kit.NotDirectError("the reply is malformed")
    return SimpleNamespace(**members), replied.get("opc-request-id")


def credential_source(name: kit.KeyName, access: Access) -> str:
    """Return what a direct call signs with; nothing is sent.

    Raises:
        NotDirectError: Oracle's client sends the calls.
    """
    _endpoint(name, access)
    return f"the API key {_config(access)['fingerprint']}"


def signed_headers(
    method: str, path: str, host: str, body: bytes, config: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers of a request with its signature, which is valid from now.

    Source: OCI documentation, "Request Signatures", version 1.
    """
    with open(os.path.expanduser(config["key_file"]), "rb") as file:
        key = file.read()
    now = time.gmtime()
    # strftime would write them in the language of the program.
    day, month = _DAYS[now.tm_wday], _MONTHS[now.tm_mon - 1]
    headers = {
        "date": time.strftime(f"{day}, %d {month} %Y %H:%M:%S GMT", now),
        "host": host,
        "content-length": str(len(body)),
        "content-type": "application/json",
        "x-content-sha256": kit.to_base64(hashlib.sha256(body).digest()),
    }
    lines = {**headers, "(request-target)": f"{method} {path}"}
    text = "\n".join(f"{name}: {lines[name]}" for name in _SIGNED)
    signature = kit.to_base64(kit.rsa_signature(key, text.encode()))
    identity = f"{config['tenancy']}/{config['user']}/{config['fingerprint']}"
    headers["authorization"] = (
        f'Signature algorithm="rsa-sha256",headers="{" ".join(_SIGNED)}",keyId="{identity}",'
        f'signature="{signature}",version="1"'
    )
    return headers


def _endpoint(name: kit.KeyName, access: Access) -> str:
    if not access.may_call_directly or access.credential != CONFIG_FILE:
        raise kit.NotDirectError("by the settings")
    if "OCI_REGION_METADATA" in os.environ or os.path.exists(os.path.expanduser(_REGIONS)):
        raise kit.NotDirectError("the regions are configured")
    if access.connection.endpoint is not None:
        if urlsplit(access.connection.endpoint).path:
            raise kit.NotDirectError("the endpoint has a path")
        return access.connection.endpoint
    short = access.region or name.parts["region"] or ""
    region = _SHORT.get(short, short)
    if name.parts["realm"] != "oc1" or not _REGION.fullmatch(region):
        raise kit.NotDirectError("the region is not one of the commercial realm")
    return f"https://{name.parts['vault']}-crypto.kms.{region}.oraclecloud.com"


def _config(access: Access) -> Mapping[str, str]:
    location = access.config_location()
    profile = access.profile or "DEFAULT"
    parser = kit.read_ini(location)
    is_there = profile == "DEFAULT" or parser.has_section(profile)
    config = dict(parser[profile]) if is_there else {}
    if access.passphrase() is not None or not {*config} <= _LINES or len(config) < len(_LINES):
        raise kit.NotDirectError(f"the profile {profile!r} is not just a key without passphrase")
    kit.require_texts(*config.values())
    return config
