"""The database of a vault: ciphertext, public keys, hashes, times and flags.

No column holds a name, a value or a key in the clear. Names of applications and clients are in
the owner's keyring; folder names and record contents are ciphertext under keys that the server
never has.
"""

from __future__ import annotations

from ksm_storage.serving.addresses import Clock
from ksm_storage.serving.database import Database
from ksm_storage.wire.base64_forms import new_uid

from .data_folder import DataFolder
from .server_settings import ensure_server_key

_VERSION = 2

_SCHEMA = """
CREATE TABLE vault (vault_id TEXT NOT NULL);

CREATE TABLE server_keys (
    number INTEGER PRIMARY KEY,          -- the key id; the highest one is the current one
    public_point BLOB NOT NULL,
    key_file TEXT NOT NULL,              -- in the keys folder, not in this file
    created_at INTEGER NOT NULL
);

CREATE TABLE applications (
    app_uid TEXT PRIMARY KEY,
    owner_public_point BLOB NOT NULL,
    app_data BLOB NOT NULL,              -- AES-GCM, application key
    created_at INTEGER NOT NULL
);

CREATE TABLE clients (
    client_id TEXT PRIMARY KEY,          -- HMAC of the one-time token
    app_uid TEXT NOT NULL REFERENCES applications ON DELETE CASCADE,
    encrypted_app_key BLOB,              -- AES-GCM, one-time token; erased once received
    public_point BLOB,                   -- of the device; null until bound
    address_locked INTEGER NOT NULL,
    address TEXT,                        -- the first one, where it is locked
    token_expires_at INTEGER NOT NULL,
    access_expires_at INTEGER,
    created_at INTEGER NOT NULL,
    bound_at INTEGER,
    revoked_at INTEGER
);

CREATE TABLE folders (
    position INTEGER PRIMARY KEY,        -- a parent is always before its children
    folder_uid TEXT NOT NULL UNIQUE,
    app_uid TEXT NOT NULL REFERENCES applications ON DELETE CASCADE,
    root_uid TEXT NOT NULL,
    parent_uid TEXT REFERENCES folders (folder_uid) ON DELETE CASCADE,
    folder_key BLOB NOT NULL,            -- root: AES-GCM, application key; else AES-CBC, root's key
    data BLOB NOT NULL,                  -- AES-CBC, folder key
    is_editable INTEGER NOT NULL
);

CREATE TABLE records (
    record_uid TEXT PRIMARY KEY,
    app_uid TEXT NOT NULL REFERENCES applications ON DELETE CASCADE,
    owner_key BLOB NOT NULL,             -- ECIES, owner's public key
    data BLOB NOT NULL,                  -- AES-GCM, record key
    revision INTEGER NOT NULL,
    is_editable INTEGER NOT NULL
);
CREATE INDEX records_by_app ON records (app_uid);

-- A record is in one place, and one more for each shortcut.
CREATE TABLE places (
    position INTEGER PRIMARY KEY,
    record_uid TEXT NOT NULL REFERENCES records (record_uid) ON DELETE CASCADE,
    folder_uid TEXT REFERENCES folders (folder_uid) ON DELETE CASCADE,       -- the root, or null
    inner_folder_uid TEXT REFERENCES folders (folder_uid) ON DELETE CASCADE, -- below it, or null
    is_flat INTEGER NOT NULL,            -- listed beside its folder, as Keeper's own pages do
    record_key BLOB NOT NULL             -- AES-GCM, root folder's key or application key
);
CREATE INDEX places_by_record ON places (record_uid);
CREATE INDEX places_by_folder ON places (folder_uid);
CREATE INDEX places_by_inner_folder ON places (inner_folder_uid);

CREATE TABLE held_updates (
    record_uid TEXT PRIMARY KEY REFERENCES records (record_uid) ON DELETE CASCADE,
    transaction_type TEXT NOT NULL,
    data BLOB NOT NULL,
    removed_files TEXT NOT NULL          -- JSON list of uids
);

CREATE TABLE files (
    position INTEGER PRIMARY KEY,
    file_uid TEXT NOT NULL UNIQUE,
    record_uid TEXT NOT NULL REFERENCES records (record_uid) ON DELETE CASCADE,
    link_key BLOB NOT NULL,              -- AES-GCM, record key
    owner_key BLOB NOT NULL,             -- ECIES, owner's public key
    data BLOB NOT NULL,                  -- AES-GCM, file key
    size INTEGER NOT NULL,               -- of the encrypted content
    upload_hash BLOB UNIQUE,             -- SHA-256 of the upload ticket; null once used
    upload_expires_at INTEGER
);
CREATE INDEX files_by_record ON files (record_uid);

CREATE TABLE file_contents (
    file_uid TEXT PRIMARY KEY REFERENCES files (file_uid) ON DELETE CASCADE,
    content BLOB NOT NULL                -- AES-GCM, file key
);

CREATE TABLE links (
    record_uid TEXT NOT NULL REFERENCES records (record_uid) ON DELETE CASCADE,
    linked_uid TEXT NOT NULL,
    path TEXT,
    data TEXT                            -- base64, as the owner wrote it
);
CREATE INDEX links_by_record ON links (record_uid);

-- SHA-256 of the wrapped transmission keys of past writes.
CREATE TABLE received (digest BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE behaviour (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    throttle_next INTEGER NOT NULL,
    request_limit INTEGER,
    window_seconds REAL NOT NULL,
    retry_after_seconds REAL,
    throttle_status INTEGER NOT NULL,
    wording INTEGER NOT NULL,
    numeric_key_id INTEGER NOT NULL
);
INSERT INTO behaviour VALUES (1, 0, NULL, 10, NULL, 403, 0, 0);
"""


def open_vault(folder: DataFolder, *, clock: Clock) -> Database:
    """Return the database; a new vault gets its tables and its first server key.

    Two processes that open a new vault at once make one vault.
    """
    folder.make()
    database = Database(folder.database, schema=_SCHEMA, version=_VERSION)
    with database.write() as connection:
        connection.execute(
            "INSERT INTO vault SELECT ? WHERE NOT EXISTS (SELECT 1 FROM vault)", (new_uid(),)
        )
        ensure_server_key(connection, folder, now=clock())
    return database
