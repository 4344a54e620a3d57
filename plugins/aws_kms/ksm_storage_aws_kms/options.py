"""The options of the plugin, and the connection that the given settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ksm_storage.plugin import Connection, Option, Settings, SettingsError, standard_options

SYMMETRIC = "SYMMETRIC_DEFAULT"
RSA = "RSAES_OAEP_SHA_256"
ALGORITHMS = (SYMMETRIC, RSA)


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        Option("region", "AWS region of the key; not needed with an ARN."),
        Option("profile", "Profile of the AWS configuration files."),
        Option("role_arn", "ARN of an IAM role to assume before KMS is called."),
        Option("role_session_name", "Session name for that role.", default="ksm-storage"),
        Option("external_id", "External id that the role's trust policy requires."),
        *standard_options("AWS KMS"),
        Option("metadata_timeout", "Seconds to wait for the instance metadata service.", kind=int),
        Option("metadata_attempts", "Attempts to reach the instance metadata service.", kind=int),
        Option("algorithm", "Algorithm of the key.", default=SYMMETRIC, choices=ALGORITHMS),
    ]


@dataclass(frozen=True, slots=True)
class Role:
    """Hold which role is assumed, and how."""

    arn: str
    session_name: str
    external_id: str | None = field(repr=False)


class Access(NamedTuple):
    """Hold how KMS is reached; what is None is left to the AWS client's own configuration."""

    connection: Connection
    region: str | None
    profile: str | None
    role: Role | None
    metadata_timeout: int | None
    metadata_attempts: int | None


def access_from(settings: Settings, *, region: str | None) -> Access:
    """Check the settings and return the access that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    return Access(
        connection=Connection.from_settings(settings),
        region=region,
        profile=settings.text("profile"),
        role=_role(settings),
        metadata_timeout=_whole_seconds(settings, "metadata_timeout"),
        metadata_attempts=_count(settings, "metadata_attempts"),
    )


def _role(settings: Settings) -> Role | None:
    arn = settings.text("role_arn")
    if arn is None:
        for name in ("role_session_name", "external_id"):
            if settings.given(name):
                raise SettingsError(f"the setting {name!r} needs the setting 'role_arn'")
        return None
    return Role(arn, settings.required_text("role_session_name"), settings.text("external_id"))


def _whole_seconds(settings: Settings, name: str) -> int | None:
    return int(settings.seconds(name)) if _count(settings, name) else None


def _count(settings: Settings, name: str) -> int | None:
    if not settings.given(name):
        return None
    value = int(settings.number(name))
    if value < 1:
        raise SettingsError(f"the setting {name!r} must be 1 or more")
    return value
