"""The settings of nShield's PKCS #11 library that get in the way most often, for ``doctor``.

Source: Entrust, nShield Security World 13.6, "nShield PKCS #11 library environment variables".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

LIBRARY_NAME = "cknfast"
FILE_NAME = "cknfastrc"
HOME_VARIABLE = "NFAST_HOME"
DEFAULT_HOME = "/opt/nfast"

_MEANINGS: Mapping[str, str] = {
    "CKNFAST_LOADSHARING": "1 is needed for softcards, and spreads keys over several HSMs",
    "CKNFAST_NO_SYMMETRIC": "if set, AES keys cannot be used",
    "CKNFAST_NO_UNWRAP": "if set, C_UnwrapKey is refused",
    "CKNFAST_NO_ACCELERATOR_SLOTS": "if set, module-protected keys are not shown",
    "CKNFAST_ASSUME_SINGLE_PROCESS": "1, the default, hides keys that another process made since",
    "CKNFAST_FAKE_ACCELERATOR_LOGIN": "1 lets the accelerator slot take a login; else set the "
    "option 'login' to none",
    "CKNFAST_CARDSET_HASH": "shows one operator card set only",
    "CKNFAST_OVERRIDE_SECURITY_ASSURANCES": "which refusals of insecure keys are lifted",
    "CKNFAST_NONREMOVABLE": "1 keeps card slots when a card is taken out",
    "CKNFAST_DEBUG": "above 0, the library writes a log, which may show what it is given",
    "CKNFAST_DEBUGFILE": "where that log goes",
}


@dataclass(frozen=True, slots=True)
class NShieldSetting:
    """Hold one setting of the library as it is now, where it is from, and what it does."""

    name: str
    value: str
    source: str
    meaning: str


def is_nshield(module: str) -> bool:
    """Tell whether the path of a library is that of nShield."""
    return LIBRARY_NAME in os.path.basename(module).lower()


def nshield_settings(environment: Mapping[str, str] | None = None) -> list[NShieldSetting]:
    """Return the settings that are set, from the environment and from the file ``cknfastrc``.

    The environment goes first, as in the library. Calls no library.
    """
    given = os.environ if environment is None else environment
    path = os.path.join(given.get(HOME_VARIABLE, DEFAULT_HOME), FILE_NAME)
    found = {name: (value, path) for name, value in _file_settings(path).items()}
    found.update({name: (value, "environment") for name, value in given.items()})
    return [
        NShieldSetting(name, value, source, _MEANINGS.get(name, ""))
        for name, (value, source) in sorted(found.items())
        if name.startswith("CKNFAST_")
    ]


def _file_settings(path: str) -> Mapping[str, str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        # No file is the usual case; one that we cannot read, the library cannot read either.
        return {}
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}
