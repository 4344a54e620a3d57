"""The Key Vault emulator: challenge, tokens, authorisation, dispatch, and ways to set a test up."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ksm_storage_emulators.azure_key_vault import crypto_operations, key_operations
from ksm_storage_emulators.azure_key_vault.access_tokens import AccessTokens
from ksm_storage_emulators.azure_key_vault.control import control_principals
from ksm_storage_emulators.azure_key_vault.directory import Application, Directory
from ksm_storage_emulators.azure_key_vault.entra_errors import entra_reply, identity_reply
from ksm_storage_emulators.azure_key_vault.errors import VaultError, error_reply
from ksm_storage_emulators.azure_key_vault.key_request import KeyRequest, read_arguments, route
from ksm_storage_emulators.azure_key_vault.keys import KeyVersion
from ksm_storage_emulators.azure_key_vault.token_endpoints import TokenEndpoints
from ksm_storage_emulators.azure_key_vault.vaults import EVERYTHING, Vault, VaultStore
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.service import Address, Call

_OPERATIONS: Mapping[str, Callable[[KeyRequest], dict[str, Any] | None]] = {
    "wrapKey": crypto_operations.wrap_key,
    "unwrapKey": crypto_operations.unwrap_key,
    "encrypt": crypto_operations.encrypt,
    "decrypt": crypto_operations.decrypt,
    "sign": crypto_operations.sign,
    "create": key_operations.create,
    "rotate": key_operations.rotate,
    "getrotationpolicy": key_operations.get_rotation_policy,
    "setrotationpolicy": key_operations.update_rotation_policy,
    "get": key_operations.get,
    "update": key_operations.update,
    "delete": key_operations.delete,
    "get-deleted": key_operations.get_deleted,
    "recover": key_operations.recover,
    "purge": key_operations.purge,
}
_FAILURES = {503: "ServiceUnavailable"}


class AzureKeyVaultService:
    """Vaults and managed HSMs of one tenant, with the endpoints that hand out tokens.

    The vault is the one that the Host header names; a request by address means `demo`.
    `administrator` may do everything in every vault; further callers come from
    `directory.add_application` and the like, and `vault.grant`.
    """

    name = "azure-key-vault"
    hostnames: Sequence[str] = (
        "*.vault.azure.net",
        "*.managedhsm.azure.net",
        "login.microsoftonline.com",
    )

    def __init__(self) -> None:
        """Start with an empty vault `demo` and an administrator."""
        self.clock = MovableClock()
        self.directory = Directory()
        self.tokens = AccessTokens(self.clock, self.directory.tenant_id)
        self.token_endpoints = TokenEndpoints(self.clock, self.directory, self.tokens)
        self.store = VaultStore(self.clock)
        self.administrator: Application = self.directory.add_application("administrator")
        self.demo = self.add_vault("demo")

    def add_vault(self, name: str, *, authorization: str = "rbac") -> Vault:
        """Make a vault `NAME.vault.azure.net`; authorization is "rbac" or "policy"."""
        return self._added(Vault(f"{name}.vault.azure.net", authorization=authorization))

    def add_managed_hsm(self, name: str) -> Vault:
        """Make a managed HSM `NAME.managedhsm.azure.net`."""
        return self._added(Vault(f"{name}.managedhsm.azure.net", is_hsm=True))

    def create_key(
        self, name: str, *, vault: Vault | None = None, kty: str = "RSA", size: int | None = None
    ) -> KeyVersion:
        """Create a key, or its next version, without a call on the wire."""
        default = 2048 if kty.startswith("RSA") else 256
        return self.store.create_key(vault or self.demo, name, kty=kty, size=size or default)

    def operation(self, request: Request) -> str:
        """Name the operation; a call to a vault without a token is a "challenge"."""
        token_operation = self.token_endpoints.operation(request)
        if token_operation is not None:
            return token_operation
        found = route(request)
        if found is None:
            return "unknown"
        return found[0] if "authorization" in request.headers else "challenge"

    def respond(self, call: Call) -> Reply:
        """Authenticate, authorise and carry out."""
        if self.token_endpoints.operation(call.request) is not None:
            return self.token_endpoints.respond(call.operation, call.request)
        vault = self._vault(call.request)
        try:
            result = self._result(call, vault)
        except VaultError as exc:
            headers = self._headers(vault, status=exc.status)
            return error_reply(exc.status, exc.code, exc.message, inner=exc.inner, headers=headers)
        headers = self._headers(vault, status=200)
        return (
            Reply(204, headers=headers)
            if result is None
            else json_reply(
                200, result, content_type="application/json; charset=utf-8", headers=headers
            )
        )

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        """Answer 429 Throttled.

        https://learn.microsoft.com/en-us/azure/key-vault/general/overview-throttling
        """
        text = "Request was not processed because too many requests were received."
        return self._failure(call, 429, "Throttled", text, retry_after_seconds)

    def failed(self, call: Call, *, status: int, retry_after_seconds: float | None) -> Reply:
        """ServiceUnavailable for 503, else InternalServerError."""
        code = _FAILURES.get(status, "InternalServerError")
        return self._failure(call, status, code, "The service failed.", retry_after_seconds)

    def environment(self, address: Address) -> Mapping[str, str]:
        """The variables of azure-identity and of the plugin, for the administrator."""
        variables = {
            "AZURE_TENANT_ID": self.directory.tenant_id,
            "AZURE_CLIENT_ID": self.administrator.principal.client_id,
            "AZURE_CLIENT_SECRET": self.administrator.secret,
            "AZURE_AUTHORITY_HOST": address.url,
            "KSM_STORAGE_AZURE_KV_CONNECT_TO": f"{address.host}:{address.port}",
        }
        if address.ca_file is not None:
            variables["KSM_STORAGE_AZURE_KV_CA_FILE"] = address.ca_file
        return variables

    def control(self, request: Request) -> Reply | None:
        """Answer the control requests about callers: see `control`."""
        return control_principals(self.directory, self.store, request)

    def _added(self, vault: Vault) -> Vault:
        vault.grant(self.administrator.principal.object_id, [EVERYTHING])
        return self.store.add(vault)

    def _vault(self, request: Request) -> Vault:
        return self.store.of_host(request.headers.get("host", "")) or self.demo

    def _result(self, call: Call, vault: Vault) -> dict[str, Any] | None:
        authorization = call.request.headers.get("authorization", "")
        object_id = self.tokens.object_id(authorization, audience=vault.resource)
        found = route(call.request)
        if found is None:
            raise VaultError("NotFound", "There is no such operation.")
        operation, name, version = found
        vault.authorize(object_id, operation.removesuffix("-deleted"))
        arguments = read_arguments(call.request)
        with self.store.lock:
            request = KeyRequest(
                call, self.store, vault, name, version, arguments, self.clock.now()
            )
            return _OPERATIONS[operation](request)

    def _headers(self, vault: Vault, *, status: int) -> dict[str, str]:
        headers = {"x-ms-request-id": str(uuid.uuid4()), "Cache-Control": "no-cache"}
        if status == 401:
            authority = f"https://login.microsoftonline.com/{self.directory.tenant_id}"
            challenge = f'Bearer authorization="{authority}", resource="{vault.resource}"'
            headers["WWW-Authenticate"] = challenge
        return headers

    def _failure(
        self, call: Call, status: int, code: str, text: str, retry_after_seconds: float | None
    ) -> Reply:
        if call.operation in ("imds-token", "app-service-token"):
            reply = identity_reply("unknown", status=status)
        elif self.token_endpoints.operation(call.request) is not None:
            reply = entra_reply(90033, status=status)
        else:
            headers = self._headers(self._vault(call.request), status=status)
            reply = error_reply(status, code, text, headers=headers)
        if retry_after_seconds is None:
            return reply
        advised = {**reply.headers, "Retry-After": f"{retry_after_seconds:g}"}
        return Reply(reply.status, reply.body, advised)
