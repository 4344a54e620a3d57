"""A client of the relay, and what it may see and change."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import SettingsError
from ..wire.aes import KEY_BYTES, gcm_seal
from ..wire.base64_forms import from_base64, to_base64, to_url_safe
from ..wire.json_objects import parse_object
from ..wire.keys import (
    TOKEN_BYTES,
    client_id_from_token,
    new_private_key,
    private_key_to_text,
    public_point_of,
)

_UID = re.compile(r"[A-Za-z0-9_-]{22}")
_MAX_NAME = 100
_FOLDER_LABEL = b"ksm-storage relay folder v1 "


@dataclass(frozen=True, slots=True)
class Grant:
    """Say which records a client may see, and whether it may change them.

    Attributes:
        records: Uids, and titles in which ``*`` stands for any text.
        folders: Uids of shared folders and subfolders; what is below them is included.
        everything: Whether all records of the application are included.
        read_only: Whether nothing may be changed.
    """

    records: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    everything: bool = False
    read_only: bool = False

    def covers_record(self, uid: str, title: Callable[[], str]) -> bool:
        """Tell whether the record is included by itself; the title is decrypted if it matters."""
        if self.everything or uid in self.records:
            return True
        patterns = [name for name in self.records if not _UID.fullmatch(name)]
        return bool(patterns) and any(_matches(title(), pattern) for pattern in patterns)


def validate_client(name: str, grant: Grant) -> None:
    """Refuse a name that cannot be shown or typed, and a grant that names what cannot exist.

    Raises:
        SettingsError: The name is empty, too long or not printable; or the grant is for nothing,
            for all and something, for an empty title, or for what is no folder's uid.
    """
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or name != name.strip():
        raise SettingsError(
            f"the client name must be 1 to {_MAX_NAME} printable characters, without blanks around"
        )
    if grant.everything and (grant.records or grant.folders):
        raise SettingsError("--all cannot be combined with --record or --folder")
    if not (grant.records or grant.folders or grant.everything):
        raise SettingsError("name at least one --record or --folder, or give --all")
    if not all(grant.records):
        raise SettingsError("a record must have a uid or a title")
    for name in grant.folders:
        if not _UID.fullmatch(name):
            raise SettingsError(
                f"{name!r} is not the uid of a folder", hint="copy the uid from the Keeper vault"
            )


@dataclass(frozen=True, slots=True)
class Client:
    """Hold a client of the relay; times in milliseconds, None where it never happened.

    Attributes:
        app_key: The client's own application key; no other client's, and not Keeper's.
        encrypted_app_key: That key under the one-time token, until the client has received it.
    """

    client_id: str
    name: str
    grant: Grant
    created_at: int
    app_key: bytes = field(repr=False)
    public_point: bytes | None = None
    encrypted_app_key: bytes | None = field(default=None, repr=False)
    token_expires_at: int = 0
    access_expires_at: int | None = None
    revoked_at: int | None = None
    address_locked: bool = False
    address: str | None = None
    last_used_at: int | None = None

    def folder_key(self, folder_uid: str) -> bytes:
        """Return the key that stands for this folder's real one, for this client only."""
        label = _FOLDER_LABEL + folder_uid.encode()
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=label).derive(self.app_key)

    def state(self, *, now: int) -> str:
        """Return one word: revoked, expired, bound, or of an unused token: waiting or lapsed."""
        if self.revoked_at is not None:
            return "revoked"
        if self.access_expires_at is not None and now >= self.access_expires_at:
            return "expired"
        if self.public_point is not None:
            return "bound"
        return "waiting" if now < self.token_expires_at else "lapsed"

    def bound(self, point: bytes, address: str) -> Client:
        """Return the client with its public key, and with its address if it is locked to one."""
        return replace(self, public_point=point, address=self.address or address)

    def to_bytes(self) -> bytes:
        """Return the form that :meth:`parse` reads."""
        return json.dumps(
            {
                "clientId": self.client_id,
                "name": self.name,
                "records": self.grant.records,
                "folders": self.grant.folders,
                "everything": self.grant.everything,
                "readOnly": self.grant.read_only,
                "createdAt": self.created_at,
                "appKey": to_base64(self.app_key),
                "publicPoint": _text(self.public_point),
                "encryptedAppKey": _text(self.encrypted_app_key),
                "tokenExpiresAt": self.token_expires_at,
                "accessExpiresAt": self.access_expires_at,
                "revokedAt": self.revoked_at,
                "addressLocked": self.address_locked,
                "address": self.address,
            }
        ).encode()

    @classmethod
    def parse(cls, content: bytes, *, last_used_at: int | None) -> Client:
        """Return the client of :meth:`to_bytes`; raise ValueError or KeyError for anything else."""
        parts = parse_object(content)
        return cls(
            client_id=parts["clientId"],
            name=parts["name"],
            grant=Grant(
                records=tuple(parts["records"]),
                folders=tuple(parts["folders"]),
                everything=parts["everything"],
                read_only=parts["readOnly"],
            ),
            created_at=parts["createdAt"],
            app_key=from_base64(parts["appKey"]),
            public_point=_bytes(parts["publicPoint"]),
            encrypted_app_key=_bytes(parts["encryptedAppKey"]),
            token_expires_at=parts["tokenExpiresAt"],
            access_expires_at=parts["accessExpiresAt"],
            revoked_at=parts["revokedAt"],
            address_locked=parts["addressLocked"],
            address=parts["address"],
            last_used_at=last_used_at,
        )


def new_bound_client(
    name: str, grant: Grant, *, now: int, expires_at: int | None, address_locked: bool
) -> tuple[Client, Mapping[str, str]]:
    """Return a client that is bound already, and its own part of an SDK's configuration."""
    private_key = new_private_key()
    client_id = client_id_from_token(os.urandom(TOKEN_BYTES))
    client = Client(
        client_id=client_id,
        name=name,
        grant=grant,
        created_at=now,
        app_key=os.urandom(KEY_BYTES),
        public_point=public_point_of(private_key),
        access_expires_at=expires_at,
        address_locked=address_locked,
    )
    return client, {
        "clientId": client_id,
        "privateKey": private_key_to_text(private_key),
        "appKey": to_base64(client.app_key),
    }


def new_waiting_client(
    name: str,
    grant: Grant,
    *,
    now: int,
    expires_at: int | None,
    token_expires_at: int,
    address_locked: bool,
) -> tuple[Client, str]:
    """Return a client that still has to bind, and the one-time token with which it does."""
    token = os.urandom(TOKEN_BYTES)
    app_key = os.urandom(KEY_BYTES)
    client = Client(
        client_id=client_id_from_token(token),
        name=name,
        grant=grant,
        created_at=now,
        app_key=app_key,
        encrypted_app_key=gcm_seal(token, app_key),
        token_expires_at=token_expires_at,
        access_expires_at=expires_at,
        address_locked=address_locked,
    )
    return client, to_url_safe(token)


def _matches(title: str, pattern: str) -> bool:
    # Of the characters that fnmatch replaces, titles often hold the others: "backup [old]?".
    return fnmatchcase(title, re.sub(r"([?[])", r"[\1]", pattern))


def _text(value: bytes | None) -> str | None:
    return None if value is None else to_base64(value)


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else from_base64(value)
