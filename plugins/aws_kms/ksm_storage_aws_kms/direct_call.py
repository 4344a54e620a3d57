"""Send one ``Decrypt`` without the AWS client.

Only with credentials from variables, a file or one metadata service, and to an endpoint that no
configuration changes; the AWS client sends every other call, and repeats one that failed here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ksm_storage import plugin as kit

from .hooks import Access

# Any other can name other credentials, another endpoint or another CA to the AWS client.
_HARMLESS = frozenset(
    f"AWS_{name}"
    for name in (
        *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"),
        *("SHARED_CREDENTIALS_FILE", "CONFIG_FILE", "CONTAINER_CREDENTIALS_RELATIVE_URI"),
        *("EC2_METADATA_SERVICE_ENDPOINT", "EC2_METADATA_DISABLED", "EXECUTION_ENV"),
        *(
            "CA_BUNDLE",
            "REGION",
            "DEFAULT_REGION",
            "DEFAULT_OUTPUT",
            "PAGER",
            "RETRY_MODE",
            "MAX_ATTEMPTS",
        ),
    )
)
# The regions of the partition "aws"; hosts of others have other names.
_REGION = re.compile(r"(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]")
_PARTS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# Source: Amazon ECS Developer Guide, "Task IAM role"; Amazon EC2 User Guide, "Use IMDS".
_CONTAINER, _INSTANCE = "http://169.254.170.2", "http://169.254.169.254"
_ROLES = "/latest/meta-data/iam/security-credentials/"


def decrypt(access: Access, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send the request, and return the reply in the form of the AWS client.

    Raises:
        NotDirectError: The AWS client must send it, or KMS refused it.
        Exception: The call failed.
    """
    url, region = _address(access)
    raw = json.dumps(
        {**request, "CiphertextBlob": kit.to_base64(request["CiphertextBlob"])}
    ).encode()
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": urlsplit(url).netloc,
        "x-amz-target": "TrentService.Decrypt",
    }
    signed = signed_headers(headers, raw, _credentials(access), region, "kms")
    api = kit.HttpApi(url, access.connection.trusting("AWS_CA_BUNDLE"), attempts=1)
    content, replied = kit.exchange_json(api, "POST", "/", signed, raw)
    if not isinstance(content["KeyId"], str):
        raise kit.NotDirectError("the reply is malformed")
    content["Plaintext"] = kit.from_base64(content["Plaintext"])
    return {**content, "ResponseMetadata": {"RequestId": replied.get("x-amzn-requestid")}}


def credential_source(access: Access) -> str:
    """Return where the credentials of a direct call come from; nothing is sent.

    Raises:
        NotDirectError: The AWS client sends the calls.
    """
    _address(access)
    return _source(access)[0]


def signed_headers(
    headers: Mapping[str, str],
    body: bytes,
    credentials: Mapping[str, str],
    region: str,
    service: str,
) -> dict[str, str]:
    """Return the headers of a POST to ``/`` with its signature, which is valid from now.

    Source: AWS IAM User Guide, "Create a signed AWS API request" (Signature Version 4).
    """
    key_id, secret, token = (credentials.get(part) for part in _PARTS)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    signed = {**headers, "x-amz-date": stamp}
    if token:
        signed["x-amz-security-token"] = token
    names = ";".join(sorted(signed))
    listed = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = f"POST\n/\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, "
        f"Signature={key.hex()}"
    )
    return signed


def _address(access: Access) -> tuple[str, str]:
    others = [name for name in os.environ if name.startswith("AWS_") and name not in _HARMLESS]
    if access.connection.endpoint is not None:
        others = [name for name in others if not name.startswith("AWS_ENDPOINT_URL")]
    if not access.may_call_directly or access.role_arn is not None or others:
        raise kit.NotDirectError(f"{min(others)} is set" if others else "by the settings")
    if access.region is None or not _REGION.fullmatch(access.region):
        raise kit.NotDirectError("the key has no region, or one of another partition")
    url = access.connection.endpoint or f"https://kms.{access.region}.amazonaws.com"
    if urlsplit(url).path:
        raise kit.NotDirectError("the endpoint has a path")
    return url, access.region


def _credentials(access: Access) -> Mapping[str, str]:
    found = _source(access)[1]
    if isinstance(found, str):
        found = _from_metadata(found, access)
    values = [found.get(part, "") for part in _PARTS]
    if not all(values[:2]) or not all(v.isascii() and v.isprintable() for v in values):
        raise kit.NotDirectError("the credentials are incomplete or malformed")
    return found


def _source(access: Access) -> tuple[str, Mapping[str, str] | str]:
    """Return a name for the source, and the credentials or the address that gives them."""
    profile = access.profile or os.environ.get("AWS_PROFILE") or "default"
    config = _profile("AWS_CONFIG_FILE", "config", profile)
    stored = _profile("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile)
    variables = {part: os.environ.get(part.upper(), "") for part in _PARTS}
    if not {*config} <= {"region", "output"} or not {*stored} <= {*_PARTS}:
        raise kit.NotDirectError(
            f"the profile {profile!r} has settings other than keys, region and output"
        )
    if (profile != "default" and not stored) or (access.profile and any(variables.values())):
        raise kit.NotDirectError(
            f"the profile {profile!r} has no keys, or AWS_* variables set keys as well"
        )
    if any(variables.values()):
        return "environment", variables
    if stored:
        return "shared credentials file", stored
    path = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if path:
        return "container", _CONTAINER + path
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "false").lower() != "false":
        raise kit.NotDirectError("no credentials were found")
    return "instance", os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _INSTANCE


def _profile(variable: str, file: str, profile: str) -> Mapping[str, str]:
    from configparser import RawConfigParser

    parser = RawConfigParser(default_section="")
    parser.read(os.path.expanduser(os.environ.get(variable) or f"~/.aws/{file}"), "utf-8")
    section = f"profile {profile}" if file == "config" and profile != "default" else profile
    # The AWS client also takes [profile default], quotes and blanks for this profile.
    same = [
        name for name in parser.sections() if re.sub(r"[\"'\s]|^profile\b", "", name) == profile
    ]
    if set(same) - {section}:
        raise kit.NotDirectError(f"the profile {profile!r} is written in another way")
    return dict(parser[section]) if same else {}


def _from_metadata(url: str, access: Access) -> Mapping[str, str]:
    seconds = float(access.metadata_timeout or 1)
    link = access.connection._replace(connect_timeout=seconds, read_timeout=seconds)
    parts = urlsplit(url)
    api = kit.HttpApi(f"{parts.scheme}://{parts.netloc}", link, attempts=1)
    path, headers = parts.path, {}
    if not path.strip("/"):
        lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = api.send("PUT", "/latest/api/token", headers=lifetime).body.decode()
        headers = {"x-aws-ec2-metadata-token": token}
        path = _ROLES + api.send("GET", _ROLES, headers=headers).body.decode()
    content, _ = kit.exchange_json(api, "GET", path, headers)
    names = ("AccessKeyId", "SecretAccessKey", "Token")
    return {part: content[name] for part, name in zip(_PARTS, names, strict=True)}
