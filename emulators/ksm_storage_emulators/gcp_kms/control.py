"""Control requests about accounts, for an emulator started from the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.message import Reply, Request, json_reply

if TYPE_CHECKING:
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService

_PREFIX = "/_emulator/service/"


def control_accounts(service: GcpKmsService, request: Request) -> Reply | None:
    """Make an account, grant or revoke, or make a key; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    name = f"{request.method} {request.path.removeprefix(_PREFIX)}"
    body = json_object(request.body)
    if name == "POST accounts":
        account = service.tokens.add_account(str(body["email"]))
        url = f"http://{request.headers['host']}"
        return Reply(200, account.key_file(f"{url}/token").encode())
    if name == "POST grants":
        permissions = [str(each) for each in body["permissions"]]
        service.policy.grant(str(body["member"]), permissions, on=str(body.get("resource", "*")))
        return Reply(204)
    if name == "DELETE grants":
        service.policy.revoke(str(body["member"]))
        return Reply(204)
    if name == "POST keys":
        key = service.create_key(**{each: str(value) for each, value in body.items()})
        return json_reply(200, {"name": key.name, "version": key.versions[0].name})
    return None
