"""A record: opened when it is first asked for its content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import GcmKey
from . import record_fields
from .answer_json import as_text, list_of_objects
from .errors import SecretNotFoundError
from .keeper_file import Downloader, KeeperFile
from .record_fields import Field
from .record_link import KeeperRecordLink
from .record_opening import open_entry, parse_content

Content = dict[str, Any]


class Record:
    """Hold one record; names are those of the official package.

    Attributes:
        uid: The record's uid.
        revision: What the server counts up with every change.
        is_editable: Whether the application may change it.
        folder_uid: The shared folder that it came through, empty for a record shared alone.
        inner_folder_uid: The subfolder that it lies in, if any.
        links: The links to other records, as the server sent them.
    """

    # 10,000 records are held at once: slots halve what each costs.
    __slots__ = (
        "_content",
        "_download",
        "_entry",
        "_file_entries",
        "_key",
        "_parent",
        "folder_uid",
        "inner_folder_uid",
        "is_editable",
        "links",
        "revision",
        "uid",
    )

    def __init__(
        self,
        entry: Mapping[str, Any],
        parent: Callable[[], GcmKey],
        *,
        app_key: bytes,
        folder_uid: str,
        download: Downloader,
    ) -> None:
        """Keep the sealed entry; ``parent`` gives the key that its record key is under."""
        self.uid: str = entry.get("recordUid") or ""
        self.revision: int | None = entry.get("revision")
        self.is_editable: bool | None = entry.get("isEditable")
        self.folder_uid: str = entry.get("folderUid") or folder_uid
        self.inner_folder_uid: str | None = entry.get("innerFolderUid")
        links, files = entry.get("links"), entry.get("files")
        self.links = list_of_objects(links) if links else []
        self._file_entries = list_of_objects(files) if files else []
        self._entry: Mapping[str, Any] | None = entry
        self._parent = parent
        self._key = app_key
        self._content: Content | None = None
        self._download = download

    def __repr__(self) -> str:
        return f"Record(uid={self.uid!r}, revision={self.revision!r})"

    def __str__(self) -> str:
        return f"[Record: uid={self.uid}, type: {self.type}, title: {self.title}]"

    def open(self) -> Content:
        """Open the record now and return its content; a second time costs nothing.

        Raises:
            DecryptionError: The record does not open with the keys of this application.
        """
        if self._content is None:
            self._content = parse_content(self._unsealed(), uid=self.uid)
            # The ciphertext is not needed again, and 10,000 of them are most of the memory.
            self._entry = None
        return self._content

    def opens(self) -> bool:
        """Open the record now and tell whether that went well."""
        try:
            self.open()
        except DecryptionError:
            return False
        return True

    def may_have_title(self, needles: tuple[bytes, ...]) -> bool:
        """Tell, without parsing the content, whether it could hold one of these spellings."""
        if self._content is not None:
            return True
        plaintext = self._unsealed()
        return b"\\" in plaintext or any(needle in plaintext for needle in needles)

    def _unsealed(self) -> bytes:
        plaintext, self._key = open_entry(self._entry or {}, self._parent(), self._key)
        return plaintext

    @property
    def dict(self) -> Content:
        """Return the content, which may be changed in place and then saved."""
        return self._content if self._content is not None else self.open()

    @property
    def record_key_bytes(self) -> bytes:
        """Return the record key, under which files and some links are sealed."""
        self.open()
        return self._key

    @property
    def raw_json(self) -> str:
        """Return the content as JSON, as it would be saved."""
        return json.dumps(self.dict)

    @raw_json.setter
    def raw_json(self, text: str) -> None:
        self.open()
        self._content = parse_content(text, uid=self.uid)

    @property
    def title(self) -> str:
        """Return the title."""
        return as_text(self.dict.get("title"))

    @title.setter
    def title(self, title: str) -> None:
        self.dict["title"] = title

    @property
    def type(self) -> str:
        """Return the record type, such as ``login``."""
        return as_text(self.dict.get("type"))

    @type.setter  # noqa: A003 - the official name
    def type(self, record_type: str) -> None:
        self.dict["type"] = record_type

    @property
    def notes(self) -> str | None:
        """Return the notes, or None."""
        notes = self.dict.get("notes")
        return None if notes is None else as_text(notes)

    @notes.setter
    def notes(self, notes: str) -> None:
        self.dict["notes"] = notes

    @property
    def password(self) -> Any:
        """Return the password of a ``login`` record, None for other types and without one."""
        if self.type != "login":
            return None
        return record_fields.first_of_type(self.dict["fields"], "password")

    def field(self, field_type: str, value: object = None, single: bool = False) -> Any:
        """Return or set the values of a standard field; SecretNotFoundError if there is none."""
        return record_fields.get_or_set(
            self.get_standard_field(field_type), value, single, name=field_type
        )

    def custom_field(
        self,
        label: str | None = None,
        value: object = None,
        field_type: str | None = None,
        single: bool = False,
    ) -> Any:
        """Return or set the values of a custom field, found by label, then by type."""
        found = None if label is None else self.get_custom_field(label)
        if found is None and label is not None and field_type is not None:
            found = self.get_custom_field(field_type)
        return record_fields.get_or_set(found, value, single, name=label or field_type or "")

    def get_standard_field(self, field_type: str) -> Field | None:
        """Return the standard field itself, or None."""
        return record_fields.find_field(self.dict["fields"], field_type)

    def get_standard_field_value(self, field_type: str, single: bool = False) -> Any:
        """Return the values of a standard field; raise SecretNotFoundError if there is none."""
        return self.field(field_type, single=single)

    def set_standard_field_value(self, field_type: str, value: object) -> None:
        """Replace the values of a standard field; raise SecretNotFoundError if there is none."""
        record_fields.set_value(
            record_fields.required(self.get_standard_field(field_type), field_type), value
        )

    def get_custom_field(self, field_type: str) -> Field | None:
        """Return the custom field itself, found by label or type, or None."""
        return record_fields.find_field(self.dict.get("custom") or [], field_type)

    def get_custom_field_value(self, field_type: str, single: bool = False) -> Any:
        """Return the values of a custom field; raise SecretNotFoundError if there is none."""
        return record_fields.get_or_set(
            self.get_custom_field(field_type), None, single, name=field_type
        )

    def set_custom_field_value(self, field_type: str, value: object) -> None:
        """Replace the values of a custom field; raise SecretNotFoundError if there is none."""
        record_fields.set_value(
            record_fields.required(self.get_custom_field(field_type), field_type), value
        )

    def add_custom_field(
        self,
        field: Any = None,
        field_type: str | None = None,
        label: str | None = None,
        value: object = None,
    ) -> bool:
        """Append a custom field; ``field`` may be anything with ``to_dict``. False if untyped."""
        made = record_fields.new_field(field, field_type=field_type, label=label, value=value)
        if made is not None:
            self.dict["custom"] = [*(self.dict.get("custom") or []), made]
        return made is not None

    @property
    def files(self) -> list[KeeperFile]:
        """Return the attached files; each is described and downloaded when it is asked."""
        key = self.record_key_bytes
        return [KeeperFile(entry, key, download=self._download) for entry in self._file_entries]

    def find_file_by_title(self, title: str) -> KeeperFile | None:
        """Return the first file with this title, or None."""
        return next((file for file in self.files if file.title == title), None)

    def download_file_by_title(self, title: str, path: str) -> None:
        """Save the first file with this title; raise SecretNotFoundError if there is none."""
        file = self.find_file_by_title(title)
        if file is None:
            raise SecretNotFoundError(f"the record has no file {title!r}")
        file.save_file(path)

    def get_links(self) -> list[KeeperRecordLink]:
        """Return the links with a record uid as objects."""
        links = [KeeperRecordLink(link) for link in self.links]
        return [link for link in links if link.record_uid]
