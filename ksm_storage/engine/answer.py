"""The answer of get_secret: asked for, searched by uid or parsed, and decrypted on demand."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from ..errors import DecryptionError
from ..process import gc_pause
from ..wire.aes import GcmKey
from ..wire.answers import SecretsAnswer
from ..wire.base64_forms import from_base64
from ..wire.json_objects import list_of_objects, parse_object
from . import late_errors as errors
from .dto.payload import QueryOptions
from .folder import Folder
from .keeper_file import Downloader
from .record import Record, RecordSource
from .record_content import ParentKeys
from .record_list import RecordList
from .record_search import find_folder, find_records

if TYPE_CHECKING:
    from .session import Session

# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


@dataclass(slots=True)
class AppData:
    """Describe the application."""

    title: str = ""
    app_type: str = ""


@dataclass
class SecretsManagerResponse:
    """Hold an answer; names are those of the official package.

    Attributes:
        records: All records that can be decrypted, each once, those of folders after the others.
        folders: The shared folders, each with its records.
        appData: What the application is called.
        expiresOn: When the access ends, in milliseconds since 1970, or None.
        warnings: What the server warns of.
        justBound: Whether this call redeemed the one-time token.
        offline_since: For an answer of the offline copy, when it was fetched.
    """

    records: RecordList
    folders: list[Folder]
    appData: AppData = field(default_factory=AppData)  # noqa: N815 - the official name
    expiresOn: int | None = None  # noqa: N815 - the official name
    warnings: list[str] | None = None
    justBound: bool = False  # noqa: N815 - the official name
    offline_since: datetime | None = None

    @property
    def bad_records(self) -> list[dict[str, Any]]:
        """Return the records that cannot be decrypted; the first time decrypts all."""
        return self.records.bad_records

    @property
    def bad_folders(self) -> list[dict[str, Any]]:
        """Return the folders whose key cannot be decrypted."""
        return [
            {"f": {"folderUid": folder.uid}, "err": exc.message}
            for folder in self.folders
            if (exc := folder.failure()) is not None
        ]

    @property
    def had_bad_records(self) -> bool:
        """Tell whether a record cannot be decrypted."""
        return bool(self.bad_records)

    @property
    def had_bad_folders(self) -> bool:
        """Tell whether a folder cannot be decrypted."""
        return bool(self.bad_folders)

    def expires_on_str(self, date_format: str = "%Y-%m-%d %H:%M:%S") -> str:
        """Return when the access ends in local time, an empty string if it does not."""
        if self.expiresOn is None:
            return ""
        return datetime.fromtimestamp(self.expiresOn / 1000).astimezone().strftime(date_format)


def parse_answer(text: bytes | str) -> SecretsAnswer:
    """Return an answer of get_secret; an empty answer is an empty object."""
    # The shape inside is not checked here: each record is checked when it is decrypted.
    return cast("SecretsAnswer", answered_object(text))


def answered_object(text: bytes | str) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty answer is an empty object.

    Raises:
        ServerAnswerError: Not JSON, or not an object.
    """
    try:
        return parse_object(text) if text else {}
    except ValueError as exc:
        raise errors.ServerAnswerError("the answer is not a JSON object in UTF-8") from exc


class AnswerReader:
    """Decrypt an answer with the application key."""

    def __init__(self, answer: bytes, app_key: bytes, *, download: Downloader) -> None:
        self._answer = answer
        self._app_key = app_key
        self._app_gcm = GcmKey(app_key)
        self._download = download

    def read(self) -> SecretsManagerResponse:
        """Parse the answer; records and folders stay encrypted until they are read."""
        with gc_pause():
            return self._read()

    def _read(self) -> SecretsManagerResponse:
        answer = parse_answer(self._answer)
        entries = list_of_objects(answer.get("folders"))
        folders = {id(entry): Folder(entry, self._app_gcm) for entry in entries}
        by_uid = {folder.uid: folder for folder in folders.values()}
        records = self._flat_records(list_of_objects(answer.get("records")), by_uid)
        for entry in entries:
            folder = folders[id(entry)]
            inside = self._records(list_of_objects(entry.get("records")), folder)
            folder.records = RecordList(inside)
            records.extend(inside)
        return SecretsManagerResponse(
            records=RecordList(records),
            folders=list(folders.values()),
            appData=self._app_data(answer.get("appData")),
            expiresOn=answer.get("expiresOn"),
            warnings=answer.get("warnings"),
        )

    def select(self, uids: Sequence[str]) -> RecordList:
        """Return the records with one of these uids, decrypting no other."""
        if len(uids) == 1:
            found = self._searched(uids[0])
            if found is not None:
                return RecordList(found)
        wanted = set(uids)
        return RecordList([record for record in self.read().records.sealed if record.uid in wanted])

    def _searched(self, uid: str) -> list[Record] | None:
        found = find_records(self._answer, uid)
        if found is None:
            return None
        records = []
        for entry, head in found:
            if head is None:
                records += self._flat_records([entry], self._folders_of(entry))
            else:
                records += self._records([entry], Folder(head, self._app_gcm))
        # Decryption is the proof that the search guessed right.
        return records if all(record.opens() for record in records) else None

    def _folders_of(self, entry: Mapping[str, Any]) -> dict[str, Folder]:
        heads = [find_folder(self._answer, uid) for uid in _folder_uids(entry)]
        return {head["folderUid"]: Folder(head, self._app_gcm) for head in heads if head}

    def _flat_records(
        self, entries: Iterable[dict[str, Any]], folders: Mapping[str, Folder]
    ) -> list[Record]:
        """Return records outside of ``folders[].records``; some still lie in a shared folder.

        Those that were made in the vault's own page have their key under that folder's key.
        """
        app_gcm = self._app_gcm
        alone = self._source((lambda: app_gcm,), "")
        records = []
        for entry in entries:
            source = alone
            if entry.get("innerFolderUid") or entry.get("folderUid"):
                known = (folders.get(uid) for uid in _folder_uids(entry))
                parents = tuple(folder.gcm for folder in known if folder is not None)
                source = self._source((*parents, *alone.parents), "")
            records.append(Record(entry, source))
        return records

    def _records(self, entries: Iterable[dict[str, Any]], folder: Folder) -> list[Record]:
        source = self._source((folder.gcm,), folder.uid)
        return [Record(entry, source) for entry in entries]

    def _source(self, parents: ParentKeys, folder_uid: str) -> RecordSource:
        return RecordSource(
            parents, app_key=self._app_key, folder_uid=folder_uid, download=self._download
        )

    def _app_data(self, encrypted: str | None) -> AppData:
        if not encrypted:
            return AppData()
        try:
            data = parse_object(self._app_gcm.open(from_base64(encrypted)))
        except (DecryptionError, ValueError):
            return AppData()
        return AppData(str(data.get("title") or ""), str(data.get("type") or ""))


def _folder_uids(entry: Mapping[str, Any]) -> list[str]:
    uids = (entry.get("innerFolderUid"), entry.get("folderUid"))
    return [uid for uid in uids if isinstance(uid, str) and uid]


async def fetch_records(
    session: Session, options: QueryOptions, *, download: Downloader
) -> RecordList:
    """Return the records that the options ask for; their files are fetched with ``download``."""
    if not options.records_filter or options.request_links:
        return (await fetch_response(session, options, download=download)).records
    reader, _ = await _ask(session, options, download)
    return reader.select(options.records_filter)


async def fetch_response(
    session: Session, options: QueryOptions, *, download: Downloader
) -> SecretsManagerResponse:
    """Return the full response to a query."""
    just_bound = await session.bind()
    reader, offline_since = await _ask(session, options, download)
    response = reader.read()
    response.justBound, response.offline_since = just_bound, offline_since
    for warning in response.warnings or ():
        _log.warning("the server warns: %s", warning)
    return response


async def _ask(
    session: Session, options: QueryOptions, download: Downloader
) -> tuple[AnswerReader, datetime | None]:
    answer, offline_since = await session.fetch_secrets(options)
    app_key = await session.work(session.device.app_key)
    return AnswerReader(answer, app_key, download=download), offline_since


def query(uids: Sequence[str] | str | None) -> QueryOptions:
    """Return the options that ask for these uids, or for all."""
    return QueryOptions(records_filter=[uids] if isinstance(uids, str) else uids)
