"""Who AWS takes the caller for, and where KMS is reached."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from ksm_storage.plugin import UnavailableError

from .client import KmsClient
from .key_names import KeyName


def describe_access(client: KmsClient, name: KeyName) -> Mapping[str, str]:
    """Return the labels of the access; the identity is left out where STS cannot be reached.

    Raises:
        AuthenticationError: AWS does not know the caller.
        ProviderError: AWS refused.
    """
    key = str(name)
    labels = {**_identity(client, key)}
    meta = client.meta(key)
    labels |= {"region": meta.region_name, "endpoint": meta.endpoint_url}
    return {label: value for label, value in labels.items() if isinstance(value, str) and value}


def _identity(client: KmsClient, key: str) -> Mapping[str, object]:
    with closing(client.sts()) as sts:
        try:
            reply = sts.ask("GetCallerIdentity", key, lambda asked: asked.get_caller_identity())
        except UnavailableError:
            # A network that has an endpoint of KMS need not have one of STS.
            return {}
    return {"identity": reply.get("Arn"), "account": reply.get("Account")}
