"""The hooks of the provider ``pkcs11``: its options and mechanisms; no PKCS #11 library is loaded.

Source: OASIS PKCS #11 Cryptographic Token Interface Current Mechanisms Specification, 2.40 and 3.1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ksm_storage import plugin as kit

NATIVE_PREFIX = "pkcs11:"

AUTO = "auto"
USER = "user"
NO_LOGIN = "none"
CLIENT_IV = "client"
HSM_IV = "hsm"

CKK_RSA = 0x00
CKK_AES = 0x1F
IV_BYTES = 12
TAG_BYTES = 16

_MODULES = (
    "for nShield /opt/nfast/toolkits/pkcs11/libcknfast.so, for SoftHSM 2 "
    "/usr/lib/softhsm/libsofthsm2.so"
)


class Mechanism(NamedTuple):
    """Describe one mechanism.

    Attributes:
        name: What an envelope records.
        code: The ``CKM_`` number.
        key_type: The ``CKK_`` number of the keys that it takes.
        binds_aad: Whether it authenticates the AAD.
        ciphertext_bytes: How long a wrapped DEK of 32 bytes is, where only one length is right.
        oaep_hash: ``CKM_`` number of the hash of OAEP and ``CKG_`` number of its MGF1.
    """

    name: str
    code: int
    key_type: int
    binds_aad: bool = False
    ciphertext_bytes: int | None = None
    oaep_hash: tuple[int, int] = (0, 0)


AES_GCM = Mechanism("CKM_AES_GCM", 0x1087, CKK_AES, True, IV_BYTES + 32 + TAG_BYTES)
# In RFC 5649 a wrapped DEK has 40 bytes. KEY_WRAP_PAD is that in SoftHSM and PKCS #7 padding
# elsewhere: one is not taken for the other, because the exact name is recorded.
AES_KWP = Mechanism("CKM_AES_KEY_WRAP_KWP", 0x210B, CKK_AES, False, 40)
AES_KEY_WRAP_PAD = Mechanism("CKM_AES_KEY_WRAP_PAD", 0x210A, CKK_AES)
# The hash is a parameter and no part of PKCS #11's name, so it is added to it.
RSA_OAEP_SHA256 = Mechanism("CKM_RSA_PKCS_OAEP/SHA-256", 0x09, CKK_RSA, oaep_hash=(0x250, 2))
# Behind SHA-256, and so only when asked for: tokens do not say which of the two they know.
# SHA-1 is sound inside OAEP, but forbidden by many a policy.
RSA_OAEP_SHA1 = Mechanism("CKM_RSA_PKCS_OAEP/SHA-1", 0x09, CKK_RSA, oaep_hash=(0x220, 1))

# In the order of preference.
MECHANISMS: Mapping[str, Mechanism] = {
    each.name: each for each in (AES_GCM, AES_KWP, AES_KEY_WRAP_PAD, RSA_OAEP_SHA256, RSA_OAEP_SHA1)
}


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare which library is loaded, how it is logged in to, and which mechanism is used."""
    return [
        kit.Option("module", "Absolute path of the PKCS #11 library."),
        kit.Option(
            "module_parameters",
            "Parameters for the library's initialization; NSS needs configDir='sql:FOLDER'.",
        ),
        *kit.pin_options("token"),
        kit.Option(
            "login",
            "Whether to log in; 'none' for a slot without login.",
            default=USER,
            choices=(USER, NO_LOGIN),
        ),
        kit.Option(
            "mechanism",
            "Mechanism to wrap with; 'auto' for the best that the key and its token offer.",
            default=AUTO,
            choices=(AUTO, *MECHANISMS),
        ),
        kit.Option(
            "iv",
            "Who generates the IV of AES-GCM.",
            default=CLIENT_IV,
            choices=(CLIENT_IV, HSM_IV),
        ),
        *kit.standard_options(
            "the token", without=("endpoint", "ca_file", "connect_timeout", "read_timeout")
        ),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the library is loaded when the key is first used."""
    from .key_names import KeyName
    from .key_wrapper import Pkcs11KeyWrapper

    return Pkcs11KeyWrapper(KeyName.parse(key_id), Access.from_settings(settings))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the URI of RFC 7512."""
    if not text.startswith(NATIVE_PREFIX) or text.startswith(f"{NATIVE_PREFIX}//"):
        return None
    return text[len(NATIVE_PREFIX) :] or None


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let a name stand for each key that has all of its attributes; the token confirms it."""
    from .key_names import covers

    return covers(trusted, key_id)


class Access(NamedTuple):
    """Hold how a token is reached and used."""

    module: str
    module_parameters: str | None
    login: bool
    pin: kit.PinSource
    mechanism: str
    hsm_makes_iv: bool
    deadline: float

    @classmethod
    def from_settings(cls, settings: kit.Settings) -> Access:
        """Check the settings and return the access that they describe.

        Raises:
            SettingsError: A setting is missing or cannot be used.
        """
        module = settings.required_text("module", hint=f"name the PKCS #11 library: {_MODULES}")
        if not os.path.isabs(module):
            # The system would look a bare name up along a path that others may have a hand in.
            raise kit.SettingsError(
                f"the setting 'module' must be an absolute path, not {module!r}",
                hint=f"write {_MODULES}",
            )
        login = settings.text("login") == USER
        pin = kit.PinSource.from_settings(settings)
        if pin.is_given and not login:
            raise kit.SettingsError(
                "a PIN is set, but the setting 'login' is 'none'", hint="remove one of the two"
            )
        return cls(
            module,
            settings.text("module_parameters"),
            login,
            pin,
            settings.required_text("mechanism"),
            settings.text("iv") == HSM_IV,
            settings.seconds("deadline"),
        )
