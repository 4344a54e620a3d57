"""A record: decrypted when it is first asked for its content."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, SupportsIndex, cast

from ..errors import DecryptionError
from ..wire.json_objects import as_text, list_of_objects
from . import late_errors as errors
from .keeper_file import Downloader, KeeperFile, download_directly
from .record_content import (
    Content,
    Field,
    ParentKeys,
    check_content,
    decrypt_contents,
    decrypt_data,
    decrypt_record_key,
    decrypt_record_keys,
    dict_of_field,
    find_field,
    parse_content,
    set_value,
    value_of,
)
from .record_link import KeeperRecordLink


class RecordSource:
    """Hold what the records of one folder have in common.

    Attributes:
        parents: The keys that a record key may be encrypted under, tried in order.
        app_key: The key of a record that has none of its own.
        folder_uid: The shared folder, empty for records that are shared alone.
        download: Fetches their files.
    """

    __slots__ = ("app_key", "download", "folder_uid", "parents")

    def __init__(
        self, parents: ParentKeys, *, app_key: bytes, folder_uid: str, download: Downloader
    ) -> None:
        self.parents = parents
        self.app_key = app_key
        self.folder_uid = folder_uid
        self.download = download


class Record:
    """Hold one record; names are those of the official package.

    Attributes:
        uid: The record's uid.
        revision: A number that the server increases with every change.
        is_editable: Whether the application may change it.
        folder_uid: The shared folder that it came through, empty for a record shared alone.
        inner_folder_uid: The subfolder that holds it, if any.
        links: The links to other records, as the server sent them.
    """

    # 10,000 records are held at once: slots halve what each costs. Programs may add attributes.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_content",
        "_entry",
        "_file_entries",
        "_files",
        "_key",
        "_source",
        "folder_uid",
        "inner_folder_uid",
        "is_editable",
        "links",
        "revision",
        "uid",
    )

    def __init__(self, entry: Mapping[str, Any], source: RecordSource) -> None:
        """Keep the encrypted entry, and whose keys decrypt it."""
        given = entry.get
        self.uid: str = given("recordUid") or ""
        self.revision: int | None = given("revision")
        self.is_editable: bool | None = given("isEditable")
        self.folder_uid: str = given("folderUid") or source.folder_uid
        self.inner_folder_uid: str | None = given("innerFolderUid")
        links, files = given("links"), given("files")
        self.links = list_of_objects(links) if links else []
        self._file_entries = list_of_objects(files) if files else ()
        self._files: list[KeeperFile] | None = None
        self._entry: Mapping[str, Any] | None = entry
        self._source = source
        self._key: bytes | None = None
        self._content: Content | None = None

    def __repr__(self) -> str:
        return f"Record(uid={self.uid!r}, revision={self.revision!r})"

    def __str__(self) -> str:
        count = len(self._file_entries)
        return (
            f"[Record: uid={self.uid}, type: {self.type}, title: {self.title},"
            f" files count: {count}]"
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # A copy holds what this record holds, encrypted or not, and the key of this record alone:
        # the connection and the other keys stay behind.
        names = ("uid", "revision", "is_editable", "folder_uid", "inner_folder_uid", "links")
        state = {name: getattr(self, name) for name in names}
        state |= {"_key": self.unlock(), "_file_entries": self._file_entries}
        if self._content is None:
            state["_entry"] = {"recordUid": self.uid, "data": (self._entry or {}).get("data")}
        return (_restored, (state | {"_content": self._content}, self.__dict__))

    def open(self) -> Content:
        """Decrypt the record now and return its content; a second time costs nothing.

        Raises:
            DecryptionError: The keys of this application do not decrypt the record.
        """
        entry = self._entry
        # None as well if another thread opened the record since.
        if self._content is None and entry is not None:
            self._content = parse_content(decrypt_data(entry, self.unlock()), uid=self.uid)
            # The ciphertext is not needed again, and 10,000 of them are most of the memory.
            self._entry = None
        return cast("Content", self._content)  # set by whoever removed the entry

    def unlock(self) -> bytes:
        """Decrypt the record key, which is not the content, and return it; raises as open."""
        key = self._key
        if key is None:
            source = self._source
            key = decrypt_record_key(self._entry or {}, source.parents, source.app_key)
            self._key = key
        return key

    @property
    def is_open(self) -> bool:
        """Tell whether the content has been decrypted."""
        return self._content is not None

    def opens(self) -> bool:
        """Decrypt the record now and tell whether that succeeded."""
        try:
            self.open()
        except DecryptionError:
            return False
        return True

    def take(self, content: object) -> None:
        """Keep content that was parsed from :meth:`decrypted`; raises as :meth:`open`."""
        self._content = check_content(content, uid=self.uid)
        self._entry = None

    def decrypted(self) -> bytes:
        """Return the content as JSON of a record that has not been opened; raises as open."""
        return decrypt_data(self._entry or {}, self.unlock())

    @property
    def dict(self) -> Content:
        """Return the content, which may be changed in place and then saved."""
        return self._content if self._content is not None else self.open()

    @dict.setter  # noqa: A003 - the official name
    def dict(self, content: Content) -> None:
        self.open()
        self._content = content

    @property
    def record_key_bytes(self) -> bytes:
        """Return the record key, under which files and some links are encrypted."""
        return self.unlock()

    @property
    def raw_json(self) -> str:
        """Return the content as JSON, changes included; set it to replace the content."""
        return json.dumps(self.dict, indent=4)

    @raw_json.setter
    def raw_json(self, text: str) -> None:
        self.open()
        self._content = parse_content(text, uid=self.uid)

    @property
    def title(self) -> str | None:
        """Return the title, or None."""
        return _text_or_none(self.dict.get("title"))

    @title.setter
    def title(self, title: str) -> None:
        self.dict["title"] = title

    @property
    def type(self) -> str | None:
        """Return the record type, such as ``login``, or None."""
        return _text_or_none(self.dict.get("type"))

    @type.setter  # noqa: A003 - the official name
    def type(self, record_type: str) -> None:
        self.dict["type"] = record_type

    @property
    def notes(self) -> str | None:
        """Return the notes, or None."""
        return _text_or_none(self.dict.get("notes"))

    @notes.setter
    def notes(self, notes: str) -> None:
        self.dict["notes"] = notes

    @property
    def password(self) -> Any:
        """Return the password of a ``login`` record, None for other types and without one."""
        if self.type != "login":
            return None
        for field in self.dict["fields"]:
            if field.get("type") == "password":
                return value_of(field, single=True)
        return None

    def field(self, field_type: str, value: object = None, single: bool = False) -> Any:
        """Return or set the values of a standard field; SecretNotFoundError if it is missing."""
        found = self.get_standard_field(field_type)
        return _get_or_set(found, value, single, f"Cannot find the field for {field_type}")

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
        missing = f"Cannot find the custom field label={label!r}, field type={field_type!r}"
        return _get_or_set(found, value, single, missing)

    def get_standard_field(self, field_type: str) -> Field | None:
        """Return the standard field itself, or None."""
        return find_field(self.dict.get("fields") or [], field_type)

    def get_standard_field_value(self, field_type: str, single: bool = False) -> Any:
        """Return the values of a standard field; raise SecretNotFoundError if it is missing."""
        return value_of(self._standard_field(field_type), single=single)

    def set_standard_field_value(self, field_type: str, value: object) -> None:
        """Replace the values of a standard field; raise SecretNotFoundError if it is missing."""
        set_value(self._standard_field(field_type), value)

    def get_custom_field(self, field_type: str) -> Field | None:
        """Return the custom field itself, found by label or type, or None."""
        return find_field(self.dict.get("custom") or [], field_type)

    def get_custom_field_value(self, field_type: str, single: bool = False) -> Any:
        """Return the values of a custom field; raise SecretNotFoundError if it is missing."""
        return value_of(self._custom_field(field_type), single=single)

    def set_custom_field_value(self, field_type: str, value: object) -> None:
        """Replace the values of a custom field; raise SecretNotFoundError if it is missing."""
        set_value(self._custom_field(field_type), value)

    def _standard_field(self, name: str) -> Field:
        field = self.get_standard_field(name)
        return _required(field, f"Cannot find standard field {name} in record")

    def _custom_field(self, name: str) -> Field:
        field = self.get_custom_field(name)
        return _required(field, f"Cannot find custom field {name} in record")

    def add_custom_field(
        self,
        field: Any = None,
        field_type: str | None = None,
        label: str | None = None,
        value: object = None,
    ) -> bool:
        """Append a custom field; ``field`` may be anything with ``to_dict``. False if untyped."""
        if field is not None:
            made = dict_of_field(field)
        elif field_type is None:
            return False
        else:
            made = {"type": field_type, "value": value if isinstance(value, list) else [value]}
            if label is not None:
                made["label"] = label
        self.dict["custom"] = [*(self.dict.get("custom") or []), made]
        return True

    def print(self) -> None:
        """Print title, uid, type and values, secrets among them."""
        lines = ["===", f"Title: {self.title}", f"UID:   {self.uid}", f"Type:  {self.type}", ""]
        lines += ["Fields", "------"]
        for item in self.dict["fields"]:
            if item["type"] not in ("fileRef", "oneTimeCode"):
                lines.append(f"{item['type']} : {', '.join(item['value'])}")
        lines += ["", "Custom Fields", "------"]
        for item in self.dict.get("custom") or []:
            lines.append(f"{item.get('label')} ({item['type']}) : {', '.join(item['value'])}")
        print("\n".join(lines))  # noqa: T201 - what the official method is for

    @property
    def files(self) -> list[KeeperFile]:
        """Return the attached files; each is described and downloaded on demand."""
        if self._files is None:
            key = self.record_key_bytes
            self._files = [
                KeeperFile(entry, key, download=self._source.download)
                for entry in self._file_entries
            ]
        return self._files

    def find_file_by_title(self, title: str) -> KeeperFile | None:
        """Return the first file with this title, or None."""
        return next((file for file in self.files if file.title == title), None)

    def download_file_by_title(self, title: str, path: str) -> None:
        """Save the first file with this title; raise SecretNotFoundError if it is missing."""
        file = self.find_file_by_title(title)
        if file is None:
            raise errors.SecretNotFoundError(f"File {title} not found")
        file.save_file(path)

    def get_links(self) -> list[KeeperRecordLink]:
        """Return the links with a record uid as objects."""
        uids = ((link.get("recordUid"), link) for link in self.links)
        return [KeeperRecordLink(link) for uid, link in uids if uid and isinstance(uid, str)]


def unlock_together(records: Sequence[Record]) -> None:
    """Decrypt the keys of those records that allow it at once; :meth:`Record.unlock` the others."""
    locked = [record for record in records if record._key is None]
    for source, group in groupby(locked, attrgetter("_source")):
        inside = list(group)
        keys = decrypt_record_keys([record._entry or {} for record in inside], source.parents)
        for record, key in zip(inside, keys, strict=True):
            if key is not None:
                record._key = key


def decrypt_together(records: Sequence[Record]) -> list[bytes | None]:
    """Return the content of each record as JSON, None for one that is open or does not decrypt."""
    unlock_together(records)
    entries, keys = [record._entry for record in records], [record._key for record in records]
    if None in entries or None in keys:
        return [_decrypted_or_none(record) for record in records]
    plaintexts = decrypt_contents(
        cast("list[Mapping[str, Any]]", entries), cast("list[bytes]", keys)
    )
    for position, plaintext in enumerate(plaintexts):
        if plaintext is None:
            plaintexts[position] = _decrypted_or_none(records[position])
    return plaintexts


def _decrypted_or_none(record: Record) -> bytes | None:
    try:
        return None if record.is_open else record.decrypted()
    except DecryptionError:
        return None


def _restored(state: Mapping[str, Any], added: Mapping[str, Any]) -> Record:
    record = Record({}, RecordSource((), app_key=b"", folder_uid="", download=download_directly))
    for name, value in state.items():
        setattr(record, name, value)
    record.__dict__.update(added)
    return record


def _required(field: Field | None, missing: str) -> Field:
    if field is None:
        # Beginning as the official package's message does: programs look for its words.
        raise errors.SecretNotFoundError(missing)
    return field


def _get_or_set(field: Field | None, value: object, single: bool, missing: str) -> Any:
    found = _required(field, missing)
    if value is None:
        return value_of(found, single=single)
    set_value(found, value)
    return value if isinstance(value, list) else [value]


def _text_or_none(value: object) -> str | None:
    return None if value is None else as_text(value)
