"""What a vault says of a key and of the caller: state, versions, access and permissions."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ksm_storage import plugin as kit

from .client import VaultClient
from .hooks import AES, NAMES, RSA, host_of, is_hsm
from .key_wrapper import CHECK, IV_BYTES, TAG_BYTES, AzureKeyWrapper, aes_body, encoded

_CLOUDS = {
    "azure.net": "Azure public",
    "azure.cn": "Azure operated by 21Vianet",
    "usgovcloudapi.net": "Azure Government",
}
# A user's token has the first three, in this order of preference.
_IDENTITY_CLAIMS = ("upn", "unique_name", "preferred_username", "app_displayname", "appid", "azp")

# Built-in roles, the narrowest that hold the permission of the operation.
_ROLES = {
    "wrapKey": "Key Vault Crypto Service Encryption User",
    "unwrapKey": "Key Vault Crypto Service Encryption User",
    "encrypt": "Key Vault Crypto User",
    "decrypt": "Key Vault Crypto User",
    "sign": "Key Vault Crypto User",
    "get": "Key Vault Reader",
    "getrotationpolicy": "Key Vault Reader",
}
_HSM_ROLES = {
    "wrapKey": "Managed HSM Crypto Service Encryption User",
    "unwrapKey": "Managed HSM Crypto Service Encryption User",
    "get": "Managed HSM Crypto Service Encryption User",
    "encrypt": "Managed HSM Crypto User",
    "decrypt": "Managed HSM Crypto User",
    "sign": "Managed HSM Crypto User",
}

_AAD = kit.Aad({"ksm-storage.purpose": "probe"})
_SUGGESTED = (
    "the vault does not reject the call, which suggests that it is granted; prove it on a file "
    "with: ksm-storage check"
)

Bundle = Mapping[str, Any]


def describe_access(client: VaultClient, name: kit.KeyName) -> Mapping[str, str]:
    """Return the labels of the access.

    Raises:
        AuthenticationError: The vault does not accept the caller's token, or the caller has none.
        ProviderError: The service failed.
    """
    claims = caller_claims(client, name)
    found = {
        "identity": next((claims[each] for each in _IDENTITY_CLAIMS if claims.get(each)), None),
        "application": claims.get("appid") or claims.get("azp"),
        "object id": claims.get("oid"),
        "tenant": claims.get("tid"),
        "vault": f"https://{host_of(name)}",
        "cloud": _CLOUDS.get(host_of(name).partition(".")[2].partition(".")[2]),
        "first unwrap": client.first_unwrap(name),
    }
    return {label: value for label, value in found.items() if isinstance(value, str) and value}


def caller_claims(client: VaultClient, name: kit.KeyName) -> Mapping[str, Any]:
    """Return the claims of the token that the vault accepts; none where they cannot be read.

    Raises:
        AuthenticationError: The vault does not accept the caller's token, or the caller has none.
        ProviderError: The service failed.
    """
    # A caller that the vault refuses has a token that it accepts.
    with suppress(kit.PermissionDeniedError, kit.KeyNotFoundError, kit.KeyStateError):
        client.read("get", name)
    return _claims(client.token())


def _claims(token: str | None) -> Mapping[str, Any]:
    # Only read to be shown: what it says is for the vault to believe.
    try:
        payload = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def describe_key(client: VaultClient, name: kit.KeyName) -> kit.KeyDescription:
    """Return the description of a key, or of the version that is named.

    Raises:
        KeyNotFoundError: The key does not exist, not even as a deleted one.
        ProviderError: The service refused or failed.
    """
    try:
        bundle, version = key_bundle(client, name)
    except kit.KeyNotFoundError:
        return _describe_deleted(client, name)
    newest = version
    if name.version is not None:
        newest = key_bundle(client, name.newest)[1]
    state, word = _state(bundle.get("attributes"))
    return kit.KeyDescription(
        key_id=str(version if name.version is not None else name),
        state=state,
        state_name=word,
        current_version=newest.version,
        rotation=None if is_hsm(name) else _rotation(client, name),
        **_kind(bundle),
    )


def key_bundle(client: VaultClient, name: kit.KeyName) -> tuple[Bundle, kit.KeyName]:
    """Return what the vault shows of a key, and the version that it is about.

    Raises:
        ProviderError: The service refused or failed, or showed another key.
    """
    bundle = client.read("get", name)
    kid = str(_web_key(bundle).get("kid"))
    if not NAMES.covers(str(name), kid):
        raise kit.other_key_error("the vault", "described", kid, name, check=CHECK)
    return bundle, NAMES.parse(kid)


def _web_key(bundle: Bundle) -> Bundle:
    web_key = bundle.get("key")
    if not isinstance(web_key, dict) or not isinstance(web_key.get("kid"), str):
        raise kit.UnavailableError(
            "the vault's reply has no valid key: it was cut off or altered in transit",
            hint="retry; if it persists, check the proxy between this host and the vault",
        )
    return web_key


def _state(attributes: object) -> tuple[kit.KeyState, str | None]:
    if not isinstance(attributes, dict):
        return "unknown", None
    if attributes.get("enabled") is not True:
        return "disabled", "disabled"
    # Both refuse to wrap, and still unwrap.
    now = time.time()
    if isinstance(attributes.get("exp"), int) and attributes["exp"] <= now:
        return "enabled", "expired"
    if isinstance(attributes.get("nbf"), int) and attributes["nbf"] > now:
        return "enabled", "not yet valid"
    return "enabled", "enabled"


def _kind(bundle: Bundle) -> dict[str, Any]:
    web_key = _web_key(bundle)
    kty = str(web_key.get("kty") or "unknown")
    modulus = web_key.get("n")
    # Base64url without padding: three bytes in four characters.
    bits = f" {len(modulus) * 6 // 8 * 8}" if isinstance(modulus, str) else ""
    return {
        "algorithm": f"{kty}{bits}",
        "protection": "HSM" if kty.endswith("-HSM") else "SOFTWARE",
        "public": kty.startswith("RSA"),
    }


def _rotation(client: VaultClient, name: kit.KeyName) -> str | None:
    try:
        policy = client.read(
            "getrotationpolicy", name, path=f"/keys/{name.parts['name']}/rotationpolicy"
        )
    except (kit.PermissionDeniedError, kit.KeyNotFoundError):
        return None
    for action in policy.get("lifetimeActions") or ():
        if str(action.get("action", {}).get("type")).lower() != "rotate":
            continue
        trigger = action.get("trigger", {})
        for word, when in (("timeAfterCreate", "after"), ("timeBeforeExpiry", "before expiry of")):
            if isinstance(trigger.get(word), str):
                return f"{trigger[word]} {when} each version"
    return None


def _describe_deleted(client: VaultClient, name: kit.KeyName) -> kit.KeyDescription:
    bundle = client.read("get", name, path=f"/deletedkeys/{name.parts['name']}")
    purge = bundle.get("scheduledPurgeDate")
    return kit.KeyDescription(
        key_id=str(name),
        state="pending-deletion",
        state_name="deleted",
        deletion=datetime.fromtimestamp(purge, UTC) if isinstance(purge, int) else None,
        **_kind(bundle),
    )


class Prober:
    """Ask a vault about one key, one permission at a time."""

    def __init__(
        self, wrapper: AzureKeyWrapper, client: VaultClient, name: kit.KeyName, algorithm: str
    ) -> None:
        self._wrapper = wrapper
        self._client = client
        self._name = name
        self._algorithm = algorithm
        self._signs = False
        # A ciphertext of a throw-away key, as soon as there is one.
        self._wrapped: kit.WrappedDek | None = None
        self._object_id = "OBJECT_ID"

    def probes(self) -> list[kit.PermissionProbe]:
        """Return what the caller may do with the key.

        Raises:
            ProviderError: The vault could not be asked.
        """
        self._object_id = str(caller_claims(self._client, self._name).get("oid") or "OBJECT_ID")
        seal, opening = (
            ("encrypt", "decrypt") if self._algorithm == AES else ("wrapKey", "unwrapKey")
        )
        describing = [self._probe("get", "describe", self._get)]
        if not is_hsm(self._name):
            describing.append(self._probe("getrotationpolicy", "describe", self._rotation_policy))
        if self._signs:
            return [self._probe("sign", "sign", self._sign), *describing]
        sealing = self._probe(seal, "seal", self._wrap)
        return [self._probe(opening, "open", self._unwrap), sealing, *describing]

    def _probe(
        self, operation: str, need: kit.Need, ask: Callable[[], str | None]
    ) -> kit.PermissionProbe:
        from .errors import call_of

        permission = str(call_of(operation, self._name).permission)
        try:
            reason = ask()
        except kit.KeyStateError as exc:
            return kit.PermissionProbe(permission, need, None, str(exc))
        except kit.PermissionDeniedError as exc:
            if exc.permission is None:
                # The network is refused, not the caller.
                raise
            return self._missing(operation, need, exc)
        return kit.PermissionProbe(permission, need, True if reason is None else None, reason)

    def _missing(
        self, operation: str, need: kit.Need, exc: kit.PermissionDeniedError
    ) -> kit.PermissionProbe:
        permission = str(exc.permission)
        command = policy_command if permission.startswith("keys/") else role_command
        grant = command(operation, self._name, object_id=self._object_id)
        return kit.PermissionProbe(permission, need, False, str(exc), grant)

    # Each of these returns why it cannot be told, or None; a refusal is the client's exception.

    def _get(self) -> str | None:
        bundle, version = key_bundle(self._client, self._name)
        self._signs = str(bundle["key"].get("kty")).startswith("EC")
        if self._algorithm == RSA:
            self._wrapped = _wrapped_here(bundle["key"], version)
        return None

    def _rotation_policy(self) -> str | None:
        path = f"/keys/{self._name.parts['name']}/rotationpolicy"
        self._client.read("getrotationpolicy", self._name, path=path)
        return None

    def _sign(self) -> str | None:
        # The vault has no dry run: a random digest, of nothing that anybody knows.
        self._wrapper.sign_digest(os.urandom(32))
        return None

    def _wrap(self) -> str | None:
        self._wrapped = self._wrapper.wrap(os.urandom(kit.DEK_BYTES), aad=_AAD)
        return None

    def _unwrap(self) -> str | None:
        if self._wrapped is not None:
            self._wrapper.unwrap(self._wrapped, aad=_AAD)
            return None
        # Nothing says whether the vault looks at the ciphertext or at the caller first.
        with suppress(kit.DecryptionError):
            self._client.call(*self._made_up())
        return _SUGGESTED

    def _made_up(self) -> tuple[str, kit.KeyName, dict[str, str]]:
        if self._algorithm == AES:
            ciphertext = os.urandom(IV_BYTES + kit.DEK_BYTES + TAG_BYTES)
            return "decrypt", self._name, aes_body(ciphertext, _AAD)
        return "unwrapKey", self._name, {"alg": RSA, "value": encoded(os.urandom(256))}


def _wrapped_here(web_key: Any, version: kit.KeyName) -> kit.WrappedDek | None:
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        exponent, modulus = (
            int.from_bytes(base64.urlsafe_b64decode(web_key[part] + "=="), "big")
            for part in ("e", "n")
        )
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (LookupError, ValueError, TypeError):
        return None
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return kit.WrappedDek(str(version), RSA, key.encrypt(os.urandom(kit.DEK_BYTES), oaep))


def policy_command(operation: str, name: kit.KeyName, *, object_id: str) -> str:
    """Return the command for a vault with access policies."""
    vault = host_of(name).partition(".")[0]
    return (
        f"az keyvault set-policy --name {vault} --object-id {object_id} "
        f"--key-permissions {operation}  # for the key {name}"
    )


def role_command(operation: str, name: kit.KeyName, *, object_id: str) -> str:
    """Return the command for a vault with roles, or for a managed HSM."""
    vault = host_of(name).partition(".")[0]
    if is_hsm(name):
        role = _HSM_ROLES[operation]
        return (
            f'az keyvault role assignment create --hsm-name {vault} --role "{role}" '
            f"--assignee-object-id {object_id} --scope /keys/{name.parts['name']}"
        )
    return (
        f'az role assignment create --role "{_ROLES[operation]}" --assignee-object-id {object_id} '
        f'--scope "$(az keyvault show --name {vault} --query id --output tsv)'
        f'/keys/{name.parts["name"]}"'
    )
