"""Control requests about callers, for an emulator started from the shell."""

from __future__ import annotations

from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.oci_vault.identities import Grant, Identities

_PREFIX = "/_emulator/service/"


def control_users(identities: Identities, request: Request) -> Reply | None:
    """Make a user with an API key; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    if f"{request.method} {request.path.removeprefix(_PREFIX)}" != "POST users":
        return None
    body = json_object(request.body)
    user = identities.add_user(Grant(**grant) for grant in body["grants"])
    answer = {
        "tenancy": identities.tenancy,
        "user": user.user,
        "fingerprint": user.fingerprint,
        "private_key": user.pem().decode(),
    }
    return json_reply(200, answer)
