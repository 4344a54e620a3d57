"""The hooks of the provider ``aws-kms``: its options and the names of its keys; no AWS client."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ksm_storage import plugin as kit

SYMMETRIC = "SYMMETRIC_DEFAULT"
RSA = "RSAES_OAEP_SHA_256"
ALGORITHMS = (SYMMETRIC, RSA)

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# AWS writes the id of a multi-Region key without hyphens, moto with them.
_MULTI_REGION_ID = rf"mrk-(?:[0-9a-f]{{32}}|{_UUID})"
_KEY = rf"{_UUID}|{_MULTI_REGION_ID}"
_ALIAS = r"alias/[a-zA-Z0-9/_-]{1,250}"
_ARN = r"arn:(aws[a-z-]*):kms:([a-z]{2,}(?:-[a-z0-9]+)+):([0-9]{12}):"
_NAME = re.compile(rf"(?:{_ARN}(?:key/(?={_KEY})|(?=alias/)))?({_ALIAS}|{_KEY})")


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how KMS is reached and who asks."""
    return [
        kit.Option("region", "AWS region of the key; not needed with an ARN."),
        kit.Option("profile", "Profile of the AWS configuration files."),
        kit.Option("role_arn", "ARN of an IAM role to assume before KMS is called."),
        kit.Option("role_session_name", "Session name for that role.", default="ksm-storage"),
        kit.Option("external_id", "External id that the role's trust policy requires."),
        *kit.standard_options("AWS KMS"),
        kit.Option(
            "metadata_timeout", "Seconds to wait for the instance metadata service.", kind=int
        ),
        kit.Option(
            "metadata_attempts", "Attempts to reach the instance metadata service.", kind=int
        ),
        kit.direct_call_option("AWS KMS"),
        kit.Option("algorithm", "Algorithm of the key.", default=SYMMETRIC, choices=ALGORITHMS),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one KMS key; the client is made when it is first used."""
    from .key_wrapper import AwsKmsKeyWrapper, KmsClient

    name = KeyName.parse(key_id)
    region = settings.text("region") or name.region
    if region is not None:
        name = name.in_region(region)
    client = KmsClient(Access.from_settings(settings, region=region), str(name))
    return AwsKmsKeyWrapper(name, client, algorithm=settings.required_text("algorithm"))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the ARN of a KMS key or alias."""
    name = KeyName.find(text)
    return None if name is None or name.region is None else text


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let an alias, a bare key id and a replica's ARN stand for a key; KMS confirms it."""
    name, key = KeyName.find(trusted), KeyName.find(key_id)
    return name is not None and key is not None and name.covers(key)


class Access(NamedTuple):
    """Hold how KMS is reached; the AWS client's own configuration decides what is None.

    Attributes:
        ca_from_shared_variable: Whether the authorities come from a variable that is not of AWS:
            ``ca_bundle`` of the profile goes before it.
    """

    connection: kit.Connection
    ca_from_shared_variable: bool
    region: str | None
    profile: str | None
    role_arn: str | None
    role_session_name: str
    external_id: str | None
    metadata_timeout: int | None
    metadata_attempts: int | None
    may_call_directly: bool

    def __repr__(self) -> str:
        # Without the external id, which some treat as a secret.
        return f"<Access to KMS in {self.region}>"

    def authorities(self, of_profile: str | None) -> str | None:
        """Return the file or folder of authorities; the profile's goes before what all share.

        Raises:
            SettingsError: The profile names one that cannot be used.
        """
        if not self.ca_from_shared_variable or not of_profile:
            return self.connection.ca_file
        kit.validate_authorities(of_profile, named="the setting ca_bundle of the AWS profile")
        return of_profile

    @classmethod
    def from_settings(cls, settings: kit.Settings, *, region: str | None) -> Access:
        """Check the settings and return the access that they describe.

        Raises:
            SettingsError: A setting cannot be used.
        """
        role_arn = settings.text("role_arn")
        for name in ("role_session_name", "external_id"):
            if role_arn is None and settings.given(name):
                raise kit.SettingsError(f"the setting {name!r} needs the setting 'role_arn'")
        connection = kit.Connection.from_settings(settings)
        of_aws = connection.ca_file or os.environ.get("AWS_CA_BUNDLE")
        return cls(
            connection=connection.trusting("AWS_CA_BUNDLE"),
            ca_from_shared_variable=not of_aws,
            region=region,
            profile=settings.text("profile"),
            role_arn=role_arn,
            role_session_name=settings.required_text("role_session_name"),
            external_id=settings.text("external_id"),
            metadata_timeout=_whole(settings, "metadata_timeout"),
            metadata_attempts=_whole(settings, "metadata_attempts"),
            # A role is assumed by the AWS client.
            may_call_directly=settings.flag("direct_call") and role_arn is None,
        )


def _whole(settings: kit.Settings, name: str) -> int | None:
    if not settings.given(name):
        return None
    if settings.number(name) < 1:
        raise kit.SettingsError(f"the setting {name!r} must be 1 or more")
    return int(settings.seconds(name))


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
        name = cls.find(text)
        if name is None:
            raise kit.SettingsError(
                f"not a valid AWS KMS key id: {text!r}",
                hint="use a key ARN, an alias ARN, alias/NAME or a key id; an ARN includes the "
                "region",
            )
        return name

    @classmethod
    def find(cls, text: str) -> KeyName | None:
        """Return the name, or None for a text of another form."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        partition, region, account, resource = match.groups()
        return cls(resource, partition, region, account)

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
            raise kit.SettingsError(
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
