"""The commands that make a key usable again, with the key's name filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

from ..contract.key_wrapper import KeyUri

_GCP = re.compile(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/keyRings/(?P<ring>[^/]+)"
    r"/cryptoKeys/(?P<key>[^/]+)(?:/cryptoKeyVersions/(?P<version>[0-9]+))?"
)


def remedy(uri: KeyUri, state: str) -> str | None:
    """Return the command for a key in this state, None if no known command helps."""
    make = _REMEDIES.get(uri.provider)
    return None if make is None else make(uri.key_id, state)


def _aws(key_id: str, state: str) -> str | None:
    region = key_id.split(":")[3] if key_id.startswith("arn:") else None
    where = f" --region {region}" if region else ""
    enable = f"aws kms enable-key --key-id {shlex.quote(key_id)}{where}"
    if state == "disabled":
        return enable
    if state == "pending-deletion":
        # A key that was to be deleted is disabled afterwards.
        return f"{enable.replace('enable-key', 'cancel-key-deletion')} && {enable}"
    return None


def _azure(key_id: str, state: str) -> str | None:
    if state == "disabled":
        return f"az keyvault key set-attributes --id {shlex.quote(key_id)} --enabled true"
    if state == "pending-deletion":
        base, _, rest = key_id.partition("/keys/")
        return f"az keyvault key recover --id {base}/deletedkeys/{rest.partition('/')[0]}"
    return None


def _gcp(key_id: str, state: str) -> str | None:
    match = _GCP.fullmatch(key_id)
    verb = {"disabled": "enable", "pending-deletion": "restore"}.get(state)
    if match is None or verb is None:
        return None
    version = match["version"] or "VERSION"
    return (
        f"gcloud kms keys versions {verb} {version} --key {match['key']} --keyring {match['ring']}"
        f" --location {match['location']} --project {match['project']}"
    )


def _oracle(key_id: str, state: str) -> str | None:
    verb = {"disabled": "enable", "pending-deletion": "cancel-deletion"}.get(state)
    key = key_id.partition("/")[0]
    if verb is None:
        return None
    return f"oci kms management key {verb} --key-id {key} --endpoint MANAGEMENT-ENDPOINT"


_REMEDIES: Mapping[str, Callable[[str, str], str | None]] = {
    "aws-kms": _aws,
    "azure-kv": _azure,
    "gcp-kms": _gcp,
    "oracle-kv": _oracle,
}
