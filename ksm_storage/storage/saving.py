"""Seal a configuration and put it on disk; no key service is called."""

from __future__ import annotations

from collections.abc import Mapping

from ..audit.events import emit
from ..config.document import Document, write_payload
from ..envelope.codec import encode
from ..envelope.sealing import NewDek, seal, seal_again
from .file import create_file, replace_file
from .state import State

NEW_FILE_MODE = 0o600


def create(path: str, new: NewDek, config: Mapping[str, str]) -> State:
    """Write a new file with a first configuration; the caller holds its lock.

    Raises:
        StorageError: It could not be written; there is none.
    """
    document = Document.single(config)
    envelope = seal(write_payload(document), new)
    raw = encode(envelope)
    signature = create_file(path, raw, mode=NEW_FILE_MODE)
    emit("saved", path=path, header=envelope.header)
    return State(envelope, new.dek, document, document.chosen(None), signature, raw)


def save(path: str, state: State, config: Mapping[str, str]) -> State:
    """Write another configuration into the file; the caller holds its lock.

    Raises:
        StorageError: It could not be written; the old content stands.
    """
    document = state.document.with_config(state.profile, config)
    envelope = seal_again(state.envelope, write_payload(document), dek=state.dek)
    raw = encode(envelope)
    signature = replace_file(path, raw)
    emit("saved", path=path, header=envelope.header)
    return state._replace(envelope=envelope, document=document, signature=signature, raw=raw)
