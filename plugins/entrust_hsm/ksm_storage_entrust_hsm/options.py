"""The options of the plugin, and the access to a token that the given settings describe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ksm_storage.plugin import Option, Settings, SettingsError

from .mechanisms import AUTO, MECHANISMS
from .pin import NEVER, WHEN_INTERACTIVE, PinSource

USER = "user"
NO_LOGIN = "none"
CLIENT_IV = "client"
HSM_IV = "hsm"

_MODULES = (
    "for nShield /opt/nfast/toolkits/pkcs11/libcknfast.so, for SoftHSM 2 "
    "/usr/lib/softhsm/libsofthsm2.so"
)


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        Option("module", "Absolute path of the PKCS#11 library; a key's name never says it."),
        Option("pin", "PIN of the token, or a function that returns it.", secret=True),
        Option("pin_file", "File that holds the PIN and that only its owner can read."),
        Option("pin_fd", "Number of an open file descriptor to read the PIN from.", kind=int),
        Option(
            "prompt",
            "Whether to ask for the PIN where none is given; only where a terminal is attached.",
            default=WHEN_INTERACTIVE,
            choices=(NEVER, WHEN_INTERACTIVE),
        ),
        Option(
            "login",
            "Who logs in to the token: its user, or nobody, as in nShield's accelerator slot.",
            default=USER,
            choices=(USER, NO_LOGIN),
        ),
        Option(
            "mechanism",
            "Mechanism to wrap with; by default the best that the key and its token offer.",
            default=AUTO,
            choices=(AUTO, *MECHANISMS),
        ),
        Option(
            "iv",
            "Who makes the IV of AES-GCM; some HSMs insist on making it themselves.",
            default=CLIENT_IV,
            choices=(CLIENT_IV, HSM_IV),
        ),
    ]


class Access(NamedTuple):
    """Hold how a token is reached and used."""

    module: str
    login: bool
    pin: PinSource
    mechanism: str
    hsm_makes_iv: bool


def access_from(settings: Settings) -> Access:
    """Check the settings and return the access that they describe.

    Raises:
        SettingsError: A setting is missing or cannot be used.
    """
    module = settings.required_text("module", hint=f"name the PKCS#11 library: {_MODULES}")
    if not os.path.isabs(module):
        # The system would look a bare name up along a path that others may have a hand in.
        raise SettingsError(
            f"the PKCS#11 library {module!r} is not an absolute path", hint=f"write {_MODULES}"
        )
    login = settings.text("login") == USER
    pin = PinSource.from_settings(settings)
    if pin.is_given and not login:
        raise SettingsError("a PIN is given, and the setting 'login' says that nobody logs in")
    return Access(
        module,
        login,
        pin,
        settings.required_text("mechanism"),
        settings.text("iv") == HSM_IV,
    )
