"""Real tokens of SoftHSM 2 in a folder of the tests' own; another implementation makes the keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
LIBRARY = next((path for path in LIBRARIES if Path(path).exists()), None)
PIN = "canary-pin-4711"
TOKEN = "ksm"
BRIEF = "brief"
OTHER = "other"

# In a process of its own: python-pkcs11 is an implementation that is not ours, and it would not
# share an initialised library.
MAKE_KEYS = """
import sys
import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag as F
from pkcs11.util.ec import encode_named_curve_parameters
library, pin = sys.argv[1:]
token = pkcs11.lib(library).get_token(token_label="ksm")
with token.open(rw=True, user_pin=pin) as session:
    def aes(label, number, flags=F.ENCRYPT | F.DECRYPT, **template):
        session.generate_key(KeyType.AES, 256, label=label, id=bytes([number]), store=True,
            capabilities=flags, template={Attribute[n]: v for n, v in template.items()})
    aes("one", 1)
    aes("two", 2)
    aes("wrap-one", 3, F.WRAP | F.UNWRAP)
    aes("wrap-two", 4, F.WRAP | F.UNWRAP)
    aes("useless", 5, F.SIGN | F.VERIFY)
    aes("twin", 6)
    aes("twin", 7)
    aes("open", 8, PRIVATE=False)
    aes("mixed", 9)
    aes("spare ;key", 0xAB)
    aes("doomed", 10)
    aes("switched", 11)
    session.generate_keypair(KeyType.RSA, 2048, label="rsa-one", id=b"\\x21", store=True)
    session.generate_keypair(KeyType.RSA, 2048, label="rsa-two", id=b"\\x22", store=True)
    public, _ = session.generate_keypair(KeyType.RSA, 2048, label="half", id=b"\\x23", store=True)
    public.destroy()
    public, _ = session.generate_keypair(KeyType.RSA, 2048, label="doubled", store=True)
    public.copy({Attribute.TOKEN: True})
    def ec(label, number, curve="secp256r1"):
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
        parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
        return parameters.generate_keypair(label=label, id=bytes([number]), store=True)
    ec("sign-one", 0x31)
    ec("sign-two", 0x32)
    ec("sign-other", 0x33, "secp384r1")
    public, _ = ec("sign-half", 0x34)
    public.destroy()
    ec("sign-switched", 0x35)
"""

IMPORT_KEYS = """
import json
import sys
import pkcs11
from pkcs11 import Attribute as A, KeyType, ObjectClass
library, pin, aes, rsa = sys.argv[1:]
numbers = {name: bytes.fromhex(f"{int(text, 16):x}".zfill(2 * (len(text) + 1 >> 1)))
    for name, text in json.loads(rsa).items()}
d, p, q = (int.from_bytes(numbers[name], "big") for name in "dpq")
both = {A.TOKEN: True, A.DECRYPT: True, A.UNWRAP: True}
with pkcs11.lib(library).get_token(token_label="ksm").open(rw=True, user_pin=pin) as session:
    session.create_object({**both, A.CLASS: ObjectClass.SECRET_KEY, A.KEY_TYPE: KeyType.AES,
        A.VALUE: bytes.fromhex(aes), A.LABEL: "vector-aes", A.ID: b"1", A.ENCRYPT: True,
        A.WRAP: True})
    session.create_object({**both, A.CLASS: ObjectClass.PRIVATE_KEY, A.KEY_TYPE: KeyType.RSA,
        A.LABEL: "vector-rsa", A.ID: b"2", A.MODULUS: numbers["n"],
        A.PUBLIC_EXPONENT: numbers["e"], A.PRIVATE_EXPONENT: numbers["d"],
        A.PRIME_1: numbers["p"], A.PRIME_2: numbers["q"],
        A.EXPONENT_1: (d % (p - 1)).to_bytes(128, "big"),
        A.EXPONENT_2: (d % (q - 1)).to_bytes(128, "big"),
        A.COEFFICIENT: pow(q, -1, p).to_bytes(128, "big")})
"""

MAKE_KEY = """
import sys
import pkcs11
library, pin, label = sys.argv[1:]
token = pkcs11.lib(library).get_token(token_label=label)
with token.open(rw=True, user_pin=pin) as session:
    session.generate_key(pkcs11.KeyType.AES, 256, label="one", store=True)
"""

DELETE_KEY = """
import sys
import pkcs11
library, pin, label = sys.argv[1:]
token = pkcs11.lib(library).get_token(token_label="ksm")
with token.open(rw=True, user_pin=pin) as session:
    for key in list(session.get_objects({pkcs11.Attribute.LABEL: label})):
        key.destroy()
"""

SWITCH_KEY = """
import sys
import pkcs11
library, pin, label, on = sys.argv[1:]
token = pkcs11.lib(library).get_token(token_label="ksm")
with token.open(rw=True, user_pin=pin) as session:
    key = session.get_key(label=label)
    key[pkcs11.Attribute.ENCRYPT] = key[pkcs11.Attribute.DECRYPT] = on == "True"
"""

SWITCH_SIGNING = """
import sys
import pkcs11
library, pin, label, on = sys.argv[1:]
token = pkcs11.lib(library).get_token(token_label="ksm")
with token.open(rw=True, user_pin=pin) as session:
    key = session.get_key(label=label, object_class=pkcs11.ObjectClass.PRIVATE_KEY)
    key[pkcs11.Attribute.SIGN] = on == "True"
"""

DECRYPT = """
import sys
import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MGF, ObjectClass
library, pin, label, kind, ciphertext, aad = sys.argv[1:]
sealed, aad = bytes.fromhex(ciphertext), bytes.fromhex(aad)
token = pkcs11.lib(library).get_token(token_label="ksm")
with token.open(user_pin=pin) as session:
    if kind == "gcm":
        key = session.get_key(label=label, object_class=ObjectClass.SECRET_KEY)
        dek = key.decrypt(sealed[12:], mechanism=Mechanism.AES_GCM,
            mechanism_param=pkcs11.GCMParams(sealed[:12], aad, 128))
    else:
        key = session.get_key(label=label, object_class=ObjectClass.PRIVATE_KEY)
        dek = key.decrypt(sealed, mechanism_param=(Mechanism.SHA_1, MGF.SHA1, None))
print(dek.hex())
"""


@dataclass(frozen=True)
class SoftToken:
    """Administer the tokens of one folder."""

    library: str
    folder: Path

    @classmethod
    def create(cls, folder: Path) -> SoftToken:
        """Set up tokens, two of which have the same label, and the keys of two of them."""
        assert LIBRARY is not None
        tokens = folder / "tokens"
        tokens.mkdir()
        configuration = folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        made = cls(LIBRARY, folder)
        for label in (TOKEN, "same", "same", BRIEF, OTHER):
            made.initialise(label)
        made._python(MAKE_KEYS)
        made._python(MAKE_KEY, BRIEF)
        made._python(MAKE_KEY, OTHER)
        return made

    def initialise(self, label: str) -> None:
        """Make one more token."""
        _run(
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            PIN,
            "--so-pin",
            "12345678",
        )

    def delete(self, label: str) -> None:
        """Remove a token, as another process may."""
        _run("softhsm2-util", "--delete-token", "--token", label)

    def import_keys(self, aes: str, rsa: Mapping[str, str]) -> None:
        """Store ``vector-aes`` and ``vector-rsa``, whose numbers are hexadecimal."""
        self._python(IMPORT_KEYS, aes, json.dumps(rsa))

    def delete_key(self, label: str) -> None:
        """Remove a key, as another process may."""
        self._python(DELETE_KEY, label)

    def switch(self, label: str, *, on: bool) -> None:
        """Allow a key to encrypt and decrypt, or forbid it, as another process may."""
        self._python(SWITCH_KEY, label, str(on))

    def switch_signing(self, label: str, *, on: bool) -> None:
        """Allow a key pair to sign, or forbid it, as another process may."""
        self._python(SWITCH_SIGNING, label, str(on))

    def decrypted(self, label: str, kind: str, ciphertext: bytes, aad: bytes) -> bytes:
        """Decrypt as python-pkcs11 does it."""
        return bytes.fromhex(self._python(DECRYPT, label, kind, ciphertext.hex(), aad.hex()))

    def _python(self, text: str, *arguments: str) -> str:
        return _run(sys.executable, "-c", text, self.library, PIN, *arguments)


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
