"""The client: what the official SecretsManager offers, over any key-value storage."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, overload

from ..errors import KsmStorageError
from ..wire import endpoints
from ..wire.keys import ecies_seal
from . import writing
from .answer import SecretsManagerResponse, fetch_records, fetch_response, query
from .backoff import BackoffPolicy, asked_seconds
from .custom_post import KSMCache, post_function
from .device import DEFAULT_KEY_ID, SERVER_KEYS, DeviceStorage, check_public_key, unknown_server_key
from .dto.payload import (
    CreateOptions,
    KSMHttpResponse,
    PostFunction,
    QueryOptions,
    TransactionType,
    TransmissionKey,
    UpdateOptions,
)
from .error_rules import code_of, read_body
from .folder import KeeperFolder
from .keeper_file import KeeperFileUpload
from .notation import NotationSection, notation_sections
from .notation_lookup import REFERENCE_FIELDS, NotationLookup
from .record import Record
from .record_create import RecordCreate
from .record_list import RecordList
from .session import build_session, require_verification
from .transport import HttpsTransport, run
from .writing import RecordContent

_DAY_SECONDS = 86400.0
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


class SecretsManager:
    """Read and write the secrets that are shared with one application.

    Where the official package has a parameter or method of the same meaning, it has the same
    name and place here. A one-time token is redeemed by the first call, or by :meth:`bind`; the
    constructor sends nothing.

    Args:
        token: A one-time token; KSM_TOKEN if the configuration is not bound.
        hostname: The server, for a token that does not name it: a region code or a host.
        verify_ssl_certs: Must be True; pass a private CA as ``ca_file``.
        config: Any object with ``get``, ``set`` and ``delete``, such as ``open_storage()``
            returns; KSM_CONFIG or the file ``client-config.json`` by default.
        custom_post_function: Sends ``get_secret`` in the place of HTTPS.
        proxy_url: An http proxy; HTTPS_PROXY and NO_PROXY by default.
        backoff: How to retry when the server throttles.
        offline_copy: A file for the last answer, to be read when the server is unreachable.
    """

    notation_prefix: ClassVar[str] = "keeper"
    default_key_id: ClassVar[str] = DEFAULT_KEY_ID
    inflate_ref_types: ClassVar[Mapping[str, list[str]]] = REFERENCE_FIELDS

    def __init__(
        self,
        token: str | None = None,
        hostname: str | None = None,
        verify_ssl_certs: bool = True,
        config: DeviceStorage | None = None,
        log_level: str | int | None = None,
        custom_post_function: PostFunction | None = None,
        proxy_url: str | None = None,
        server_public_key: str | None = None,
        server_public_key_id: str | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
        backoff: BackoffPolicy | None = None,
        offline_copy: str | os.PathLike[str] | None = None,
        offline_max_age_seconds: float = _DAY_SECONDS,
    ) -> None:
        self.logger = logger_at(log_level)
        self.verify_ssl_certs = verify_ssl_certs
        self.custom_post_function = custom_post_function
        self.proxy_url = proxy_url or None
        require_verification(verify_ssl_certs)
        transport = HttpsTransport(
            ca_file=ca_file,
            proxy_url=self.proxy_url,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
        )
        self._session = build_session(
            token=token,
            hostname=hostname,
            config=config,
            server_public_key=server_public_key,
            server_public_key_id=server_public_key_id,
            proxy_url=self.proxy_url,
            transport=transport,
            backoff=backoff or BackoffPolicy(),
            offline_copy=offline_copy,
            offline_max_age_seconds=offline_max_age_seconds,
            choose_post=self._choose_post,
            ask=self._ask,
        )
        self.config = self._session.device.storage
        self.hostname = self._session.device.host if token else None
        self.token = token.strip().rpartition(":")[2] if token else None

    def _choose_post(self, path: str) -> PostFunction | None:
        if self.custom_post_function is not None and path == endpoints.GET_SECRET:
            return self.custom_post_function
        # Assigned to the object by a program that sends requests in its own way.
        replaced: PostFunction | None = vars(self).get("post_function")
        return replaced

    def _post_query(self, path: str, payload: Mapping[str, Any]) -> bytes:
        return run(self._session.exchange(path, payload))

    async def _ask(self, path: str, payload: Mapping[str, Any]) -> bytes:
        # Looked up at each call: programs and tests replace the method.
        return self._post_query(path, payload)

    async def _records(self, uids: Sequence[str] | None) -> RecordList:
        return self.get_secrets(uids)

    def bind(self) -> bool:
        """Redeem the one-time token now; return False if the device was bound before."""
        return run(self._session.bind())

    @overload
    def get_secrets(
        self, uids: Sequence[str] | str | None = ..., full_response: Literal[False] = ...
    ) -> RecordList: ...
    @overload
    def get_secrets(
        self, uids: Sequence[str] | str | None, full_response: Literal[True]
    ) -> SecretsManagerResponse: ...
    @overload
    def get_secrets(
        self, uids: Sequence[str] | str | None = ..., *, full_response: Literal[True]
    ) -> SecretsManagerResponse: ...
    def get_secrets(
        self, uids: Sequence[str] | str | None = None, full_response: bool = False
    ) -> RecordList | SecretsManagerResponse:
        """Return all records, or those with these uids; each is decrypted when it is read."""
        return self.get_secrets_with_options(query(uids), full_response)

    def get_secrets_with_options(
        self, query_options: QueryOptions | None = None, full_response: bool = False
    ) -> RecordList | SecretsManagerResponse:
        """Return the records that the options ask for, as :meth:`get_secrets` does."""
        if full_response:
            return self.fetch_and_decrypt_secrets(query_options)
        options = query_options or QueryOptions()
        return run(fetch_records(self._session, options, download=self._session.download))

    def fetch_and_decrypt_secrets(
        self, query_options: QueryOptions | None = None
    ) -> SecretsManagerResponse:
        """Return the full response to a query."""
        options = query_options or QueryOptions()
        return run(fetch_response(self._session, options, download=self._session.download))

    def get_secrets_by_title(self, record_title: str) -> list[Record]:
        """Return all records with this title."""
        return list(self.get_secrets().titled(record_title))

    def get_secret_by_title(self, record_title: str) -> Record | None:
        """Return the first record with this title, or None; decrypt few after it."""
        return next(self.get_secrets().titled(record_title), None)

    def get_folders(self) -> list[KeeperFolder]:
        """Return the folder tree as a flat list."""
        return run(writing.fetch_folders(self._session))

    fetch_and_decrypt_folders = get_folders

    def get_notation(self, url: str) -> Any:
        """Return what a notation selects: one value, all of a field for ``[]``, a file's bytes.

        Raises:
            NotationError: The text is not valid notation.
            SecretNotFoundError: It selects nothing, or several records match.
        """
        return run(self._lookup().single(url))

    def get_notation_results(self, notation: str) -> list[str]:
        """Return all values that a notation selects, as text; raises as :meth:`get_notation`."""
        return run(self._lookup().results(notation))

    def try_get_notation_results(self, notation: str) -> list[str]:
        """Return as :meth:`get_notation_results`, an empty list where that would raise."""
        try:
            return self.get_notation_results(notation)
        except KsmStorageError as exc:
            _log.error("cannot resolve the notation: %s", exc.message)
            return []

    @staticmethod
    def parse_notation(notation: str, legacy_mode: bool = False) -> list[NotationSection]:
        """Return prefix, record, selector and footer of a notation; raise NotationError.

        In legacy mode the first brackets may hold a property, as :meth:`get_notation` allows.
        """
        return notation_sections(notation, property_first=legacy_mode)

    @staticmethod
    def get_inflate_ref_types(field_type: str) -> list[str]:
        """Return the fields of another record that stand in the place of a reference."""
        return list(REFERENCE_FIELDS.get(field_type, ()))

    def inflate_field_value(self, uids: Iterable[str], replace_fields: Iterable[str]) -> list[Any]:
        """Return the values of the records that a reference names."""
        return run(self._lookup().inflate(uids, replace_fields))

    def _lookup(self) -> NotationLookup:
        return NotationLookup(self._records)

    def create_secret(self, folder_uid: str, record_data: RecordContent) -> str:
        """Create a record in a shared folder and return its uid."""
        return self.create_secret_with_options(CreateOptions(folder_uid), record_data)

    def create_secret_with_options(
        self,
        create_options: CreateOptions,
        record_data: RecordContent,
        folders: Sequence[KeeperFolder] | None = None,
    ) -> str:
        """Create a record in a shared folder or a subfolder of it and return its uid."""
        return run(writing.create_record(self._session, create_options, record_data, folders))

    def save(
        self,
        record: Record,
        transaction_type: TransactionType | None = None,
        links_to_remove: Sequence[str] | str | None = None,
    ) -> None:
        """Save a changed record; with a transaction type, until it is completed."""
        self.save_with_options(record, UpdateOptions(transaction_type, links_to_remove))

    def save_with_options(
        self, record: Record, update_options: UpdateOptions | None = None
    ) -> bool:
        """Save a changed record.

        Raises:
            StaleRevisionError: It was changed since it was read.
        """
        run(writing.update_record(self._session, record, update_options))
        return True

    def complete_transaction(self, record_uid: str, rollback: bool = False) -> bool:
        """Commit the save of a transaction, or roll it back."""
        path = endpoints.ROLLBACK_SECRET_UPDATE if rollback else endpoints.FINALIZE_SECRET_UPDATE
        run(writing.complete_transaction(self._session, record_uid, path=path))
        return True

    def delete_secret(self, record_uids: Sequence[str] | str) -> list[dict[str, Any]]:
        """Delete records and return what the server answers for each.

        Raises:
            DeletionRefusedError: One of them was not deleted.
        """
        return run(writing.delete_records(self._session, writing.as_list(record_uids)))

    def create_folder(
        self,
        create_options: CreateOptions,
        folder_name: str,
        folders: Sequence[KeeperFolder] | None = None,
    ) -> str:
        """Create a folder in a shared folder or a subfolder of it and return its uid."""
        return run(writing.create_folder(self._session, create_options, folder_name, folders))

    def update_folder(
        self, folder_uid: str, folder_name: str, folders: Sequence[KeeperFolder] | None = None
    ) -> None:
        """Rename a folder."""
        run(writing.rename_folder(self._session, folder_uid, folder_name, folders))

    def delete_folder(
        self, folder_uids: Sequence[str] | str, force_deletion: bool = False
    ) -> list[dict[str, Any]]:
        """Delete folders, with their content if forced; return what the server answers for each.

        Raises:
            DeletionRefusedError: One of them was not deleted.
        """
        uids = writing.as_list(folder_uids)
        return run(writing.delete_folders(self._session, uids, force=force_deletion))

    def upload_file(self, owner_record: Record, file: KeeperFileUpload) -> str:
        """Attach a file to a record and return the file's uid."""
        return run(writing.attach_file(self._session, owner_record, file))

    def upload_file_path(self, owner_record: Record, file_path: str | os.PathLike[str]) -> str:
        """Attach the file at a path to a record and return the file's uid."""
        return self.upload_file(owner_record, KeeperFileUpload.from_file(file_path))

    @staticmethod
    def generate_transmission_key(
        key_id: str, custom_public_key_b64: str | None = None
    ) -> TransmissionKey:
        """Return a new transmission key, encrypted to a server's public key.

        Raises:
            ClientSettingsError: An id that is not in the table, and no key.
        """
        text = custom_public_key_b64 or SERVER_KEYS.get(key_id)
        if text is None:
            raise unknown_server_key(key_id)
        key = os.urandom(32)
        return TransmissionKey(key_id, key, ecies_seal(check_public_key(text), key))

    post_function = staticmethod(post_function)

    # The two below are internal to the official package as well; subclasses override them.

    @staticmethod
    def _throttle_delay(attempt: int, retry_after: float = 0.0) -> float:
        policy = BackoffPolicy(retries=attempt + 1, max_wait_seconds=float("inf"))
        return policy.wait_seconds(attempt, asked=retry_after) or 0.0

    @staticmethod
    def _parse_throttle(http_response: Any) -> float | None:
        answer = read_body(str(http_response.text or "").encode())
        return asked_seconds(answer, None) if code_of(answer) == "throttled" else None


def logger_at(log_level: str | int | None) -> logging.Logger:
    """Return the logger of the official package, set to this level if one is given."""
    if log_level is not None:
        _log.setLevel(log_level)
        if not _log.hasHandlers():
            _log.addHandler(logging.StreamHandler())
    return _log


def find_secrets_by_title(record_title: str, records: Iterable[Record] | None) -> list[Record]:
    """Return all of the records with this title."""
    return [record for record in records or () if record.title == record_title]


def find_secret_by_title(record_title: str, records: Iterable[Record] | None) -> Record | None:
    """Return the first of the records with this title, or None."""
    return next((record for record in records or () if record.title == record_title), None)


# The official module of this name has all of these.
__all__ = [
    "CreateOptions",
    "KSMCache",
    "KSMHttpResponse",
    "KeeperFileUpload",
    "KeeperFolder",
    "QueryOptions",
    "Record",
    "RecordCreate",
    "SecretsManager",
    "SecretsManagerResponse",
    "UpdateOptions",
    "find_secret_by_title",
    "find_secrets_by_title",
]
