"""The files by which Oracle's clients find their credentials."""

from __future__ import annotations

from pathlib import Path

from ksm_storage_emulators.oci_vault.identities import Credential

REGION_NAME = "us-ashburn-1"


def write_config(
    directory: Path, credential: Credential, *, tenancy: str, passphrase: str | None = None
) -> Path:
    """Write `config` and `key.pem` into a directory, and return the path of `config`.

    The passphrase protects the key and is not written down. A session's token goes to `token`.
    """
    key_file = _private(directory / "key.pem", credential.pem(passphrase))
    lines = [
        "[DEFAULT]",
        f"tenancy={tenancy}",
        f"fingerprint={credential.fingerprint}",
        f"key_file={key_file}",
        f"region={REGION_NAME}",
    ]
    if credential.expires_at is None:
        lines.append(f"user={credential.user}")
    else:
        token_file = _private(directory / "token", credential.token.encode())
        lines.append(f"security_token_file={token_file}")
    return _private(directory / "config", "\n".join([*lines, ""]).encode())


def _private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
