"""The forms in which ``export`` writes a configuration."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Mapping

import click

from ..config.json_form import format_base64, format_json

Config = Mapping[str, str]

VARIABLE = "KSM_CONFIG"
SECRET_NAME = "ksm-config"  # noqa: S105  # the name of a Kubernetes object

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OBJECT = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)


def as_env(config: Config, name: str | None) -> bytes:
    """Return ``KSM_CONFIG=...`` as shells, systemd and container engines read it.

    The value is base64, which none of them needs quoted.
    """
    variable = name or VARIABLE
    if not _VARIABLE.fullmatch(variable):
        raise click.BadParameter(f"{variable!r} is no variable's name", param_hint="'--name'")
    return f"{variable}={shlex.quote(_base64(config))}".encode()


def as_k8s_secret(config: Config, name: str | None) -> bytes:
    """Return the manifest of a Kubernetes Secret with the one entry ``KSM_CONFIG``."""
    given = name or SECRET_NAME
    if not _OBJECT.fullmatch(given):
        raise click.BadParameter(f"{given!r} is no name of a Secret", param_hint="'--name'")
    value = base64.b64encode(_base64(config).encode("ascii")).decode("ascii")
    # Quoted: YAML would read the name 1.5 as a number.
    lines = (
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        f'  name: "{given}"',
        "type: Opaque",
        "data:",
        f"  {VARIABLE}: {value}",
    )
    return "\n".join(lines).encode("ascii")


def _base64(config: Config) -> str:
    return format_base64(config).decode("ascii").strip()


FORMS: Mapping[str, Callable[[Config, str | None], bytes]] = {
    "json": lambda config, _name: format_json(config),
    "base64": lambda config, _name: format_base64(config),
    "env": as_env,
    "k8s-secret": as_k8s_secret,
}
NAMED_FORMS = frozenset({"env", "k8s-secret"})
