"""The options of the plugin, and the connection that the given settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ksm_storage.plugin import Option, Settings, SettingsError, refuse_clear_text

SYMMETRIC = "SYMMETRIC_DEFAULT"
RSA = "RSAES_OAEP_SHA_256"
ALGORITHMS = (SYMMETRIC, RSA)


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        Option("region", "Region of KMS; an ARN says it, a multi-Region key may take another."),
        Option("profile", "Profile of the AWS configuration files."),
        Option("role_arn", "Role to assume before KMS is called."),
        Option("role_session_name", "Session name of that role.", default="ksm-storage"),
        Option("external_id", "External id that the role's trust policy asks for."),
        Option("endpoint", "URL of KMS, for a VPC endpoint or an emulator."),
        Option("ca_file", "PEM file of the authorities to trust for TLS."),
        Option("connect_timeout", "Seconds to wait for a connection.", kind=float, default=3.0),
        Option("read_timeout", "Seconds to wait for a reply.", kind=float, default=6.0),
        Option("deadline", "Seconds for a call with all its retries.", kind=float, default=20.0),
        Option("metadata_timeout", "Seconds to wait for an instance's credentials.", kind=int),
        Option("metadata_attempts", "Times to ask for an instance's credentials.", kind=int),
        Option("algorithm", "Algorithm of the key.", default=SYMMETRIC, choices=ALGORITHMS),
    ]


@dataclass(frozen=True, slots=True)
class Role:
    """Hold which role is assumed, and how."""

    arn: str
    session_name: str
    external_id: str | None = field(repr=False)


class Connection(NamedTuple):
    """Hold how KMS is reached; what is None is left to the AWS client's own configuration."""

    region: str | None
    profile: str | None
    role: Role | None
    endpoint: str | None
    ca_file: str | None
    connect_timeout: float
    read_timeout: float
    deadline: float
    metadata_timeout: int | None
    metadata_attempts: int | None


def connection_from(settings: Settings, *, region: str | None) -> Connection:
    """Check the settings and return the connection that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    connect, read, deadline = (
        settings.seconds(name) for name in ("connect_timeout", "read_timeout", "deadline")
    )
    # One attempt must be able to end within the deadline.
    shortened = min(1.0, deadline / (connect + read))
    endpoint = settings.text("endpoint")
    if endpoint is not None:
        refuse_clear_text(endpoint, named="the setting 'endpoint'")
    return Connection(
        region=region,
        profile=settings.text("profile"),
        role=_role(settings),
        endpoint=endpoint,
        ca_file=settings.authorities("ca_file"),
        connect_timeout=connect * shortened,
        read_timeout=read * shortened,
        deadline=deadline,
        metadata_timeout=_whole_seconds(settings, "metadata_timeout"),
        metadata_attempts=_count(settings, "metadata_attempts"),
    )


def _role(settings: Settings) -> Role | None:
    arn = settings.text("role_arn")
    if arn is None:
        for name in ("role_session_name", "external_id"):
            if settings.given(name):
                raise SettingsError(f"the setting {name!r} is given without 'role_arn'")
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
