"""Make applications."""

from __future__ import annotations

import json
import os

from ...errors import SettingsError
from ...wire.aes import KEY_BYTES, gcm_seal
from ...wire.base64_forms import new_uid
from ...wire.ecies import public_point_of
from .keyring import OwnedApplication
from .session import OwnerSession


def create_application(session: OwnerSession, name: str) -> OwnedApplication:
    """Make an application with a fresh key; the name reaches the server encrypted only."""
    if not name.strip():
        raise SettingsError("an application needs a name")
    application = OwnedApplication(new_uid(), name, os.urandom(KEY_BYTES))
    data = json.dumps({"title": name, "type": "app"}).encode()
    with session.write() as (connection, keyring):
        if any(item.name == name for item in keyring.applications.values()):
            raise SettingsError(f"there is an application {name!r} already")
        keyring.applications[application.app_uid] = application
        connection.execute(
            "INSERT INTO applications VALUES (?, ?, ?, ?)",
            (
                application.app_uid,
                public_point_of(keyring.private_key),
                gcm_seal(application.key, data),
                session.clock(),
            ),
        )
    return application
