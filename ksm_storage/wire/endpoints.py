"""Paths, header names and the version by which a client presents itself."""

from __future__ import annotations

API_PATH = "/api/rest/sm/v1/"

# ruff takes the word "secret" in a path for a password.
# ruff: noqa: S105
GET_SECRET = "get_secret"
GET_FOLDERS = "get_folders"
CREATE_SECRET = "create_secret"
UPDATE_SECRET = "update_secret"
FINALIZE_SECRET_UPDATE = "finalize_secret_update"
ROLLBACK_SECRET_UPDATE = "rollback_secret_update"
DELETE_SECRET = "delete_secret"
CREATE_FOLDER = "create_folder"
UPDATE_FOLDER = "update_folder"
DELETE_FOLDER = "delete_folder"
ADD_FILE = "add_file"

PATHS = frozenset(
    {
        GET_SECRET,
        GET_FOLDERS,
        CREATE_SECRET,
        UPDATE_SECRET,
        FINALIZE_SECRET_UPDATE,
        ROLLBACK_SECRET_UPDATE,
        DELETE_SECRET,
        CREATE_FOLDER,
        UPDATE_FOLDER,
        DELETE_FOLDER,
        ADD_FILE,
    }
)

CONTENT_TYPE = "application/octet-stream"
HEADER_PUBLIC_KEY_ID = "PublicKeyId"
HEADER_TRANSMISSION_KEY = "TransmissionKey"
HEADER_AUTHORIZATION = "Authorization"
SIGNATURE_SCHEME = "Signature"

# The service refuses versions that it has not registered, so a client of the same protocol
# names the protocol revision that it speaks and not its own release.
CLIENT_VERSION = "mp17.3.0"
