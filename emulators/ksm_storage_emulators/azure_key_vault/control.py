"""Control requests about callers, for an emulator started from the shell."""

from __future__ import annotations

from ksm_storage_emulators.azure_key_vault.directory import Directory
from ksm_storage_emulators.azure_key_vault.vaults import ACTIONS, EVERYTHING, Vault, VaultStore
from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.message import Reply, Request, json_reply

_PREFIX = "/_emulator/service/"


def control_principals(directory: Directory, store: VaultStore, request: Request) -> Reply | None:
    """Make an application or set its permissions; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    name = f"{request.method} {request.path.removeprefix(_PREFIX)}"
    body = json_object(request.body)
    if name == "POST applications":
        application = directory.add_application(str(body["name"]))
        principal = application.principal
        return json_reply(
            200,
            {
                "tenant_id": directory.tenant_id,
                "client_id": principal.client_id,
                "object_id": principal.object_id,
                "client_secret": application.secret,
            },
        )
    if name == "POST grants":
        permissions = [str(permission) for permission in body["permissions"]]
        if not set(permissions) <= {*ACTIONS, EVERYTHING}:
            raise ValueError(f"permissions are {', '.join(ACTIONS)} or {EVERYTHING}")
        _vault(store, str(body["vault"])).grant(str(body["object_id"]), permissions)
        return Reply(204)
    if name == "POST firewall":
        _vault(store, str(body["vault"])).closed_by_firewall = bool(body["closed"])
        return Reply(204)
    return None


def _vault(store: VaultStore, host: str) -> Vault:
    vault = store.of_host(host)
    if vault is None:
        raise ValueError(f"there is no vault {host!r}")
    return vault
