"""The command that grants a permission on a key."""

from __future__ import annotations

from .key_names import KeyName

DECRYPT = "cloudkms.cryptoKeyVersions.useToDecrypt"
ENCRYPT = "cloudkms.cryptoKeyVersions.useToEncrypt"
VIEW_PUBLIC_KEY = "cloudkms.cryptoKeyVersions.viewPublicKey"
GET_KEY = "cloudkms.cryptoKeys.get"
GET_VERSION = "cloudkms.cryptoKeyVersions.get"

# The narrowest predefined role of each. Source: Cloud KMS documentation, "Permissions and roles".
_ROLES = {
    DECRYPT: "roles/cloudkms.cryptoKeyDecrypter",
    ENCRYPT: "roles/cloudkms.cryptoKeyEncrypter",
    VIEW_PUBLIC_KEY: "roles/cloudkms.publicKeyViewer",
    GET_KEY: "roles/cloudkms.viewer",
    GET_VERSION: "roles/cloudkms.viewer",
}


def command(permission: str, name: KeyName, *, identity: str | None) -> str:
    """Return the command that lets the caller have the permission on the key."""
    _, project, _, location, _, ring, _, key = name.key.split("/")
    return (
        f"gcloud kms keys add-iam-policy-binding {key} --project {project} --keyring {ring} "
        f"--location {location} --member {_member(identity)} --role {_ROLES[permission]}"
    )


def _member(identity: str | None) -> str:
    if identity is None:
        return "MEMBER"
    kind = "serviceAccount" if identity.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{identity}"
