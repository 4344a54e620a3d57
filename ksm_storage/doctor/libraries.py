"""Which versions of which libraries a plugin stands on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version

# The core needs more than its providers do: what matters for a key is named here.
_OF_THE_CORE = {"os-keyring": ("keyring",)}
_CORE = "ksm-storage"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def libraries_of(distribution: str, provider: str) -> Mapping[str, str]:
    """Return the libraries that a plugin's distribution requires, with their installed versions."""
    if distribution == _CORE:
        names: list[str] = [*_OF_THE_CORE.get(provider, ()), "cryptography"]
    else:
        names = _required(distribution)
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _required(distribution: str) -> list[str]:
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return []
    names = [match[0] for line in lines if "extra ==" not in line and (match := _NAME.match(line))]
    return [name for name in names if name.lower() != _CORE]
