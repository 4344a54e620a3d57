"""The names of a KMS key: key ARN, alias ARN, alias, key id."""

from __future__ import annotations

import re
from typing import NamedTuple

from ksm_storage.plugin import SettingsError

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# AWS writes the id of a multi-Region key without hyphens, moto with them.
_MULTI_REGION_ID = rf"mrk-(?:[0-9a-f]{{32}}|{_UUID})"
_KEY = rf"{_UUID}|{_MULTI_REGION_ID}"
_ALIAS = r"alias/[a-zA-Z0-9/_-]{1,250}"
_ARN = r"arn:(aws[a-z-]*):kms:([a-z]{2,}(?:-[a-z0-9]+)+):([0-9]{12}):"
_NAME = re.compile(rf"(?:{_ARN}(?:key/(?={_KEY})|(?=alias/)))?({_ALIAS}|{_KEY})")


class KeyName(NamedTuple):
    """Name one KMS key.

    Attributes:
        resource: ``alias/NAME``, or a key id without the ``key/`` that an ARN puts before it.
        partition, region, account: What an ARN says; None in a bare alias or key id.
    """

    resource: str
    partition: str | None = None
    region: str | None = None
    account: str | None = None

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read a key ARN, an alias ARN, an alias or a key id.

        Raises:
            SettingsError: The text has none of these forms.
        """
        name = _parsed(text)
        if name is None:
            raise SettingsError(
                f"not a valid AWS KMS key id: {text!r}",
                hint="use a key ARN, an alias ARN, alias/NAME or a key id; an ARN includes the "
                "region",
            )
        return name

    @property
    def is_alias(self) -> bool:
        """Tell whether the name can be pointed at another key."""
        return self.resource.startswith("alias/")

    @property
    def is_multi_region(self) -> bool:
        """Tell whether the key may have replicas with the same id in other regions."""
        return self.resource.startswith("mrk-")

    @property
    def is_key_arn(self) -> bool:
        """Tell whether the name says all there is to say: it is what KMS puts into a reply."""
        return self.region is not None and not self.is_alias

    def in_region(self, region: str) -> KeyName:
        """Return the name of the same key in a region, through a replica if need be.

        Raises:
            SettingsError: The name is of another region, and the key has no replicas.
        """
        if self.region in (None, region):
            return self
        if not self.is_multi_region:
            raise SettingsError(
                f"the key {str(self)!r} is not in the region {region!r}",
                hint="remove the option 'region', which the ARN includes; only a multi-Region key "
                "(mrk-...) can be used in another region",
            )
        return self._replace(region=region)

    def covers(self, key: KeyName) -> bool:
        """Tell whether this name may stand for a key ARN, without asking KMS."""
        if not key.is_key_arn:
            return False
        if self.region is None:
            return self.is_alias or self.resource == key.resource
        if (self.partition, self.account) != (key.partition, key.account):
            return False
        # Replicas share partition, account and id, and decrypt each other's ciphertexts.
        if self.region != key.region and not key.is_multi_region:
            return False
        return self.is_alias or self.resource == key.resource

    def __str__(self) -> str:
        if self.region is None:
            return self.resource
        kind = "" if self.is_alias else "key/"
        return f"arn:{self.partition}:kms:{self.region}:{self.account}:{kind}{self.resource}"


def covers(trusted: str, key_id: str) -> bool:
    """Tell whether a trusted name may stand for a recorded key ARN; a malformed one never does."""
    name, key = _parsed(trusted), _parsed(key_id)
    return name is not None and key is not None and name.covers(key)


def is_arn(text: str) -> bool:
    """Tell whether the text is the ARN of a KMS key or alias."""
    name = _parsed(text)
    return name is not None and name.region is not None


def _parsed(text: str) -> KeyName | None:
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    partition, region, account, resource = match.groups()
    return KeyName(resource, partition, region, account)
