"""Control requests about callers, for an emulator started from the shell."""

from collections.abc import Mapping
from typing import Any

from ksm_storage_emulators.aws_kms.identities import Identities, Statement
from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.message import Reply, Request, json_reply

_PREFIX = "/_emulator/service/"


def control_identities(identities: Identities, request: Request) -> Reply | None:
    """Make a user or a role, or replace a policy; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    name = f"{request.method} {request.path.removeprefix(_PREFIX)}"
    body = json_object(request.body)
    if name == "POST users":
        key = identities.add_user(str(body["name"]), _statements(body))
        credentials = {
            "arn": key.caller_arn,
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret_access_key,
        }
        return json_reply(200, credentials)
    if name == "POST roles":
        trusted = [str(arn) for arn in body["trusted"]]
        role = identities.add_role(str(body["name"]), _statements(body), trusted=trusted)
        return json_reply(200, {"arn": role.arn})
    if name == "POST statements":
        identities.set_statements(str(body["arn"]), _statements(body))
        return Reply(204)
    return None


def _statements(body: Mapping[str, Any]) -> list[Statement]:
    statements = [Statement(**value) for value in body["statements"]]
    for statement in statements:
        if statement.effect not in ("Allow", "Deny"):
            raise ValueError("effect must be Allow or Deny")
    return statements
