"""The client: what the official SecretsManager offers, over any key-value storage."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, Literal, overload

from ..errors import KsmStorageError
from ..wire import endpoints
from . import folder_writing, record_writing
from .connecting import connect
from .device import KeyValueStorage
from .file_upload import KeeperFileUpload
from .folder import KeeperFolder
from .notation_lookup import NotationLookup
from .options import CreateOptions, QueryOptions, TransactionType, UpdateOptions
from .patience import Patience
from .record import Record
from .record_list import RecordList
from .record_writing import RecordContent
from .secrets_answer import AnswerReader, SecretsManagerResponse
from .transmission import PostFunction

_log = logging.getLogger(__name__)
_DAY_SECONDS = 86400.0


class SecretsManager:
    """Read and write the secrets that are shared with one application.

    Where the official package has a parameter or method of the same meaning, its name is here.
    A one-time token is redeemed by the first call, or by :meth:`bind`; all that can go wrong
    before that is found by the constructor.

    Args:
        token: A one-time token; KSM_TOKEN if the configuration is not bound.
        hostname: The server, for a token that does not name it: a region code or a host.
        config: Any object with ``get``, ``set`` and ``delete``, such as ``open_storage()`` gives.
        verify_ssl_certs: Only True; a private CA is given as ``ca_file``.
        proxy_url: An http proxy; HTTPS_PROXY and NO_PROXY otherwise.
        patience: How throttling is met.
        offline_copy: A file for the last answer, to be read when the server is out of reach.
    """

    def __init__(
        self,
        token: str | None = None,
        hostname: str | None = None,
        config: KeyValueStorage | None = None,
        *,
        server_public_key: str | None = None,
        server_public_key_id: str | None = None,
        proxy_url: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        verify_ssl_certs: bool = True,
        log_level: str | int | None = None,
        custom_post_function: PostFunction | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
        patience: Patience | None = None,
        offline_copy: str | os.PathLike[str] | None = None,
        offline_max_age_seconds: float = _DAY_SECONDS,
    ) -> None:
        if log_level is not None:
            logging.getLogger("ksm_storage.engine").setLevel(log_level)
        self._session = connect(
            token=token,
            hostname=hostname,
            config=config,
            server_public_key=server_public_key,
            server_public_key_id=server_public_key_id,
            proxy_url=proxy_url,
            ca_file=ca_file,
            verify_ssl_certs=verify_ssl_certs,
            custom_post_function=custom_post_function,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            patience=patience or Patience(),
            offline_copy=offline_copy,
            offline_max_age_seconds=offline_max_age_seconds,
        )
        self._notation = NotationLookup(self.get_secrets)

    def bind(self) -> bool:
        """Redeem the one-time token now; return False if the device was bound before."""
        return self._session.bind()

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
        """Return all records, or those with these uids; each is opened when it is read."""
        wanted = [uids] if isinstance(uids, str) else uids
        return self._get(QueryOptions(records_filter=wanted), full_response)

    def get_secrets_with_options(
        self, query_options: QueryOptions | None = None, full_response: bool = False
    ) -> RecordList | SecretsManagerResponse:
        """Return the records that the options ask for, as :meth:`get_secrets` does."""
        return self._get(query_options or QueryOptions(), full_response)

    def _get(
        self, options: QueryOptions, full_response: bool
    ) -> RecordList | SecretsManagerResponse:
        just_bound = self.bind()
        answer, offline_since = self._session.fetch_secrets(options)
        reader = AnswerReader(
            answer, self._session.device.app_key(), download=self._session.download
        )
        if options.records_filter and not options.request_links and not full_response:
            return reader.select(options.records_filter)
        response = reader.read()
        response.justBound, response.offline_since = just_bound, offline_since
        for warning in response.warnings or ():
            _log.warning("the server warns: %s", warning)
        return response if full_response else response.records

    def get_secrets_by_title(self, record_title: str) -> list[Record]:
        """Return all records with this title."""
        return list(self.get_secrets().titled(record_title))

    def get_secret_by_title(self, record_title: str) -> Record | None:
        """Return the first record with this title, or None; those after it stay sealed."""
        return next(self.get_secrets().titled(record_title), None)

    def get_folders(self) -> list[KeeperFolder]:
        """Return the folder tree, flat."""
        return folder_writing.fetch_folders(self._session)

    def get_notation(self, url: str) -> Any:
        """Return what a notation selects: one value, all of a field for ``[]``, a file's bytes.

        Raises:
            NotationError: The text is no notation.
            SecretNotFoundError: It selects nothing, or its record is not the only one.
        """
        return self._notation.single(url)

    def get_notation_results(self, notation: str) -> list[str]:
        """Return all values that a notation selects, as text; raises as :meth:`get_notation`."""
        return self._notation.results(notation)

    def try_get_notation_results(self, notation: str) -> list[str]:
        """Return as :meth:`get_notation_results`, an empty list where that would raise."""
        try:
            return self._notation.results(notation)
        except KsmStorageError as exc:
            _log.error("the notation gives nothing: %s", exc.message)
            return []

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
        key = folder_writing.folder_key(folders or self.get_folders(), create_options.folder_uid)
        return record_writing.create_record(
            self._session, create_options, record_data, folder_key=key
        )

    def save(
        self,
        record: Record,
        transaction_type: TransactionType | None = None,
        links_to_remove: Sequence[str] | str | None = None,
    ) -> bool:
        """Save a changed record; with a transaction type, until it is completed."""
        return self.save_with_options(record, UpdateOptions(transaction_type, links_to_remove))

    def save_with_options(
        self, record: Record, update_options: UpdateOptions | None = None
    ) -> bool:
        """Save a changed record.

        Raises:
            StaleRevisionError: Somebody else has changed it since it was read.
        """
        record_writing.update_record(self._session, record, update_options)
        return True

    def complete_transaction(self, record_uid: str, rollback: bool = False) -> bool:
        """Make a save of a transaction final, or take it back."""
        path = endpoints.ROLLBACK_SECRET_UPDATE if rollback else endpoints.FINALIZE_SECRET_UPDATE
        record_writing.complete_transaction(self._session, record_uid, path=path)
        return True

    def delete_secret(self, record_uids: Sequence[str] | str) -> list[dict[str, Any]]:
        """Delete records and return what the server says of each."""
        return record_writing.delete_records(self._session, _as_list(record_uids))

    def create_folder(
        self,
        create_options: CreateOptions,
        folder_name: str,
        folders: Sequence[KeeperFolder] | None = None,
    ) -> str:
        """Create a folder in a shared folder or a subfolder of it and return its uid."""
        key = folder_writing.folder_key(folders or self.get_folders(), create_options.folder_uid)
        return folder_writing.create_folder(self._session, create_options, folder_name, key=key)

    def update_folder(
        self, folder_uid: str, folder_name: str, folders: Sequence[KeeperFolder] | None = None
    ) -> None:
        """Give a folder another name."""
        key = folder_writing.folder_key(folders or self.get_folders(), folder_uid)
        folder_writing.rename_folder(self._session, folder_uid, folder_name, key=key)

    def delete_folder(
        self, folder_uids: Sequence[str] | str, force_deletion: bool = False
    ) -> list[dict[str, Any]]:
        """Delete folders, with their content if forced; return what the server says of each."""
        uids = _as_list(folder_uids)
        return folder_writing.delete_folders(self._session, uids, force=force_deletion)

    def upload_file(self, owner_record: Record, file: KeeperFileUpload) -> str:
        """Attach a file to a record and return the file's uid."""
        return record_writing.attach_file(self._session, owner_record, file)

    def upload_file_path(self, owner_record: Record, file_path: str | os.PathLike[str]) -> str:
        """Attach the file at a path to a record and return the file's uid."""
        return self.upload_file(owner_record, KeeperFileUpload.from_file(file_path))


def _as_list(uids: Sequence[str] | str) -> list[str]:
    return [uids] if isinstance(uids, str) else list(uids)
