"""Send ``Encrypt`` and ``Decrypt`` without the AWS client, over connections that stay open.

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
_KNOWN = (
    "ACCESS_KEY_ID SECRET_ACCESS_KEY SESSION_TOKEN PROFILE SHARED_CREDENTIALS_FILE CONFIG_FILE "
    "CONTAINER_CREDENTIALS_RELATIVE_URI EC2_METADATA_SERVICE_ENDPOINT EC2_METADATA_DISABLED "
    "EXECUTION_ENV CA_BUNDLE REGION DEFAULT_REGION DEFAULT_OUTPUT PAGER RETRY_MODE MAX_ATTEMPTS"
)
# The regions of the partition "aws"; hosts of others have other names.
_REGION = re.compile(r"(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]")
_PARTS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_IN_REPLY = ("AccessKeyId", "SecretAccessKey", "Token")
# The AWS client also takes [profile default], quotes and blanks for a profile.
_NOISE = re.compile(r"[\"'\s]|^profile\b")
# Source: Amazon ECS Developer Guide, "Task IAM role"; Amazon EC2 User Guide, "Use IMDS".
_CONTAINER, _INSTANCE = "http://169.254.170.2", "http://169.254.169.254"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_JSON = "application/x-amz-json-1.1"
_MEMBERS = {"Encrypt": "CiphertextBlob", "Decrypt": "Plaintext"}


class DirectKms:
    """Send calls to KMS in the caller's region; safe across threads and across a fork."""

    def __init__(self, access: Access) -> None:
        url = address(access)
        self._access = access
        self._host, self._service = urlsplit(url).netloc, f"{_region(access)}/kms"
        self._api = kit.HttpApi(url, access.connection, attempts=1, kept=True)

    def credentials(self) -> Mapping[str, str]:
        """Return the access key, checked; it is read anew each time.

        Raises:
            NotDirectError: The AWS client must send the calls.
            Exception: It cannot be read.
        """
        address(self._access)
        source = _source(self._access)[1]
        found = source if isinstance(source, Mapping) else _from_metadata(*source, self._access)
        key_id, secret, token = (found.get(part) for part in _PARTS)
        kit.require_texts(key_id, secret, token or "-")
        if {*f"{key_id}{secret}{token}"} & {*" \"'"}:
            raise kit.NotDirectError("no credential has a blank or a quote")
        return found

    def send(
        self, credentials: Mapping[str, str], operation: str, request: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Send the request, and return the reply in the form of the AWS client.

        Raises:
            NotDirectError: KMS refused it.
            Exception: The call failed.
        """
        raw = json.dumps(request, default=kit.to_base64).encode()
        target = f"TrentService.{operation}"
        headers = {"content-type": _JSON, "host": self._host, "x-amz-target": target}
        signed = signed_headers(headers, raw, credentials, self._service)
        content, replied = kit.exchange_json(self._api, "POST", "/", signed, raw)
        kit.require_texts(content["KeyId"])
        member = _MEMBERS[operation]
        content[member] = kit.from_base64(content[member])
        return {**content, "ResponseMetadata": {"RequestId": replied.get("x-amzn-requestid")}}

    def close(self) -> None:
        """Close the connections."""
        self._api.close()


def credential_source(access: Access) -> str:
    """Return where the credentials of a direct call come from; nothing is sent.

    Raises:
        NotDirectError: The AWS client sends the calls.
    """
    address(access)
    return _source(access)[0]


def address(access: Access) -> str:
    """Return the URL of KMS in the caller's region, as the AWS client finds it.

    Raises:
        NotDirectError: The AWS client sends the calls.
    """
    endpoint = access.connection.endpoint
    allowed, ignored = access.may_call_directly, "AWS_ENDPOINT_URL" if endpoint else None
    kit.require_direct("AWS_", _KNOWN, allowed=allowed, ignoring=ignored)
    region = _region(access)
    if not _REGION.fullmatch(region) or urlsplit(endpoint or "").path:
        raise kit.NotDirectError("the endpoint has a path, or the region is of another partition")
    return endpoint or f"https://kms.{region}.amazonaws.com"


def signed_headers(
    headers: Mapping[str, str], body: bytes, credentials: Mapping[str, str], service: str
) -> dict[str, str]:
    """Return the headers of a POST to ``/`` of ``REGION/SERVICE`` with its signature from now.

    Source: AWS IAM User Guide, "Create a signed AWS API request" (Signature Version 4).
    """
    key_id, secret, token = (credentials.get(part) for part in _PARTS)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    own = {"x-amz-security-token": token} if token else {}
    signed = {**headers, **own, "x-amz-date": stamp}
    names = ";".join(sorted(signed))
    listed = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = f"POST\n/\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    identity = f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}"
    signed["authorization"] = f"{identity}, SignedHeaders={names}, Signature={key.hex()}"
    return signed


def _region(access: Access) -> str:
    # The same order as in the AWS client's session: the profile comes last.
    given = access.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return given or _config(access).get("region", "")


def _source(access: Access) -> tuple[str, Mapping[str, str] | tuple[str, str]]:
    profile, config = _profile_name(access), _config(access)
    stored = _profile("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile)
    variables = {part: os.environ.get(part.upper(), "") for part in _PARTS}
    if not {*config} <= {"region", "output"} or not {*stored} <= {*_PARTS}:
        raise kit.NotDirectError(f"the profile {profile!r} has more than keys, region and output")
    if (profile != "default" and not stored) or (access.profile and any(variables.values())):
        raise kit.NotDirectError(f"the profile {profile!r} has no keys, or variables set some too")
    if any(variables.values()):
        return "environment", variables
    if stored:
        return "shared credentials file", stored
    if path := os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return "container", (_CONTAINER, path)
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "false").lower() != "false":
        raise kit.NotDirectError("no credentials were found")
    return "instance", (os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _INSTANCE, "")


def _profile_name(access: Access) -> str:
    return access.profile or os.environ.get("AWS_PROFILE") or "default"


def _config(access: Access) -> Mapping[str, str]:
    return _profile("AWS_CONFIG_FILE", "config", _profile_name(access))


def _profile(variable: str, file: str, profile: str) -> Mapping[str, str]:
    parser = kit.read_ini(os.environ.get(variable) or f"~/.aws/{file}", default_section="")
    section = f"profile {profile}" if file == "config" and profile != "default" else profile
    same = {name for name in parser.sections() if _NOISE.sub("", name) == profile}
    if same - {section}:
        raise kit.NotDirectError(f"the profile {profile!r} is written in another way")
    return dict(parser[section]) if same else {}


def _from_metadata(url: str, path: str, access: Access) -> Mapping[str, str]:
    seconds = float(access.metadata_timeout or 1)
    link = access.connection._replace(connect_timeout=seconds, read_timeout=seconds)
    api = kit.HttpApi(url, link, attempts=1)
    headers = {}
    if not path:
        lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = api.send("PUT", "/latest/api/token", headers=lifetime).body.decode()
        headers = {"x-aws-ec2-metadata-token": token}
        path = _ROLES + api.send("GET", _ROLES, headers=headers).body.decode()
    content, _ = kit.exchange_json(api, "GET", path, headers)
    return {part: content[name] for part, name in zip(_PARTS, _IN_REPLY, strict=True)}
