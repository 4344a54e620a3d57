"""A key service with P-256 keys in files, as a plugin that all processes of one test share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ksm_storage.testing.distributions import write_distribution

SOURCE = '''
"""A plugin whose signing keys lie in a folder; a file beside a key makes it fail."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ksm_storage.plugin import (
    KeyNotFoundError,
    KeyStateError,
    SettingsError,
    SigningKey,
    UnavailableError,
    hookimpl,
    key_exists,
)

ROOT = Path(__file__).parent / "keys"


class SigningService:
    binds_aad = True

    def __init__(self, key_id):
        self._id = key_id

    def wrap(self, dek, *, aad):
        raise SettingsError("it only signs")

    def unwrap(self, wrapped, *, aad):
        raise SettingsError("it only signs")

    def signing_key(self):
        public = self._load().public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SigningKey(self._id, der)

    def create_signing_key(self):
        path = ROOT / f"{self._id}.pem"
        if path.exists():
            raise key_exists(self._id)
        private = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return self._id

    def sign_digest(self, digest):
        with (ROOT / "calls").open("a") as calls:
            calls.write(self._id + "\\n")
        key = self._load()
        if (ROOT / f"{self._id}.disabled").exists():
            raise KeyStateError("the key is disabled")
        if (ROOT / f"{self._id}.down").exists():
            raise UnavailableError("the service is out of reach")
        return key.sign(digest, ec.ECDSA(Prehashed(SHA256())))

    def close(self):
        pass

    def _load(self):
        try:
            pem = (ROOT / f"{self._id}.pem").read_bytes()
        except FileNotFoundError as exc:
            raise KeyNotFoundError("there is no such key") from exc
        return load_pem_private_key(pem, password=None)


@hookimpl
def key_wrapper_options():
    return []


@hookimpl
def open_key_wrapper(key_id, settings):
    return SigningService(key_id)
'''


class SigningService:
    """Hold the planted plugin of one test; its keys are ``signing://one`` and the like."""

    def __init__(self, folder: Path) -> None:
        self._keys = folder / "keys"
        self._keys.mkdir()

    def new_key(self, name: str) -> str:
        """Make a key, in the place of the one of this name, and return its URI."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        (self._keys / f"{name}.pem").write_bytes(pem)
        return f"signing://{name}"

    def fail(self, name: str, how: str) -> None:
        """Let each signature of a key fail: ``disabled`` or ``down``."""
        (self._keys / f"{name}.{how}").touch()

    def recover(self, name: str, how: str) -> None:
        """End what :meth:`fail` began."""
        (self._keys / f"{name}.{how}").unlink()

    @property
    def signatures(self) -> int:
        """How many signatures were asked for."""
        calls = self._keys / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningService:
    """Install the plugin for this test alone."""
    name = "planted_signing_service"
    folder = tmp_path / "plugins"
    write_distribution(
        folder, "planted-signing", providers={"signing": name}, modules={f"{name}.py": SOURCE}
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, name, __import__(name))
    return SigningService(folder)
