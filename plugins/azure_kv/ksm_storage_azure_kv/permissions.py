"""The command that grants a permission on a key: an access policy, or a role."""

from __future__ import annotations

from .key_names import KeyName

# Built-in roles, the narrowest that hold the permission of the operation.
_ROLES = {
    "wrapKey": "Key Vault Crypto Service Encryption User",
    "unwrapKey": "Key Vault Crypto Service Encryption User",
    "encrypt": "Key Vault Crypto User",
    "decrypt": "Key Vault Crypto User",
    "get": "Key Vault Reader",
    "getrotationpolicy": "Key Vault Reader",
}
_HSM_ROLES = {
    "wrapKey": "Managed HSM Crypto Service Encryption User",
    "unwrapKey": "Managed HSM Crypto Service Encryption User",
    "get": "Managed HSM Crypto Service Encryption User",
    "encrypt": "Managed HSM Crypto User",
    "decrypt": "Managed HSM Crypto User",
}


def policy_command(operation: str, name: KeyName, *, object_id: str) -> str:
    """Return the command for a vault with access policies."""
    vault = name.host.partition(".")[0]
    return (
        f"az keyvault set-policy --name {vault} --object-id {object_id} "
        f"--key-permissions {operation}  # for the key {name}"
    )


def role_command(operation: str, name: KeyName, *, object_id: str) -> str:
    """Return the command for a vault with roles, or for a managed HSM."""
    vault = name.host.partition(".")[0]
    if name.is_hsm:
        role = _HSM_ROLES[operation]
        return (
            f'az keyvault role assignment create --hsm-name {vault} --role "{role}" '
            f"--assignee-object-id {object_id} --scope /keys/{name.name}"
        )
    return (
        f'az role assignment create --role "{_ROLES[operation]}" --assignee-object-id {object_id} '
        f'--scope "$(az keyvault show --name {vault} --query id --output tsv)/keys/{name.name}"'
    )
