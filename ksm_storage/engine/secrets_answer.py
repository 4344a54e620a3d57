"""The answer of get_secret: found by uid without parsing, or parsed and opened by need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import DecryptionError
from ..gc_pause import gc_pause
from ..wire.aes import GcmKey
from ..wire.base64_forms import from_base64
from .answer_json import list_of_objects, parse_answer, parse_object
from .folder import Folder
from .keeper_file import Downloader
from .record import Record
from .record_list import RecordList
from .record_search import find_records


@dataclass(frozen=True, slots=True)
class AppData:
    """Describe the application."""

    title: str = ""
    app_type: str = ""


@dataclass(slots=True)
class SecretsManagerResponse:
    """Hold an answer; names are those of the official package.

    Attributes:
        records: All records that open, those of folders after the others.
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
        """Return the records that do not open; the first time opens all."""
        return self.records.bad_records

    @property
    def bad_folders(self) -> list[dict[str, Any]]:
        """Return the folders whose key does not open."""
        return [
            {"f": {"folderUid": folder.uid}, "err": exc.message}
            for folder in self.folders
            if (exc := folder.failure()) is not None
        ]

    @property
    def had_bad_records(self) -> bool:
        """Tell whether a record does not open."""
        return bool(self.bad_records)

    @property
    def had_bad_folders(self) -> bool:
        """Tell whether a folder does not open."""
        return bool(self.bad_folders)

    def expires_on_str(self, date_format: str = "%Y-%m-%d %H:%M:%S") -> str:
        """Return when the access ends in local time, an empty string if it does not."""
        if self.expiresOn is None:
            return ""
        return datetime.fromtimestamp(self.expiresOn / 1000).astimezone().strftime(date_format)


class AnswerReader:
    """Open an answer with the application key."""

    def __init__(self, answer: bytes, app_key: bytes, *, download: Downloader) -> None:
        self._answer = answer
        self._app_key = app_key
        self._app_gcm = GcmKey(app_key)
        self._download = download

    def read(self) -> SecretsManagerResponse:
        """Parse the answer; records and folders stay sealed until they are asked for."""
        with gc_pause():
            return self._read()

    def _read(self) -> SecretsManagerResponse:
        answer = parse_answer(self._answer)
        records = self._records(list_of_objects(answer.get("records")), None)
        folders = []
        for entry in list_of_objects(answer.get("folders")):
            folder = Folder(entry, self._app_gcm)
            inside = self._records(list_of_objects(entry.get("records")), folder)
            folder.records = RecordList(inside)
            folders.append(folder)
            records.extend(inside)
        return SecretsManagerResponse(
            records=RecordList(records),
            folders=folders,
            appData=self._app_data(answer.get("appData")),
            expiresOn=answer.get("expiresOn"),
            warnings=answer.get("warnings"),
        )

    def select(self, uids: Sequence[str]) -> RecordList:
        """Return the records with one of these uids, opening no other."""
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
            folder = None if head is None else Folder(head, self._app_gcm)
            records += self._records([entry], folder)
        # Opening is the proof that the search guessed right.
        return records if all(record.opens() for record in records) else None

    def _records(self, entries: Iterable[dict[str, Any]], folder: Folder | None) -> list[Record]:
        # Not a method of self: the records would keep the whole answer alive.
        app_gcm = self._app_gcm
        parent: Callable[[], GcmKey] = folder.gcm if folder else lambda: app_gcm
        uid = folder.uid if folder else ""
        return [
            Record(entry, parent, app_key=self._app_key, folder_uid=uid, download=self._download)
            for entry in entries
        ]

    def _app_data(self, sealed: str | None) -> AppData:
        if not sealed:
            return AppData()
        try:
            data = parse_object(self._app_gcm.open(from_base64(sealed)))
        except (DecryptionError, ValueError):
            return AppData()
        return AppData(str(data.get("title") or ""), str(data.get("type") or ""))
