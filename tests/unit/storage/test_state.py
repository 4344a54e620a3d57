"""What is kept of an envelope that another process saved."""

from __future__ import annotations

from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.config.document import ACTIVE_PROFILE, Document
from ksm_storage.storage.profiles import create_document
from ksm_storage.storage.reading import read_file
from ksm_storage.storage.state import opened_state, reread_state
from ksm_storage.storage.trust import Trust


@pytest.fixture
def path(folder: Path, key: str) -> Path:
    profiles = {"one": {"hostname": "1"}, "two": {"hostname": "2"}}
    document = Document(profiles, {ACTIVE_PROFILE: "one"})
    create_document(folder / "config", Trust.of([key], None, None), document)
    return folder / "config"


@pytest.mark.parametrize("new_dek", [False, True], ids=["same dek", "other dek"])
def test_a_reread_keeps_the_profile_and_takes_the_new_signature(path: Path, new_dek: bool) -> None:
    trust = Trust.of(None, None, None)
    found = read_file(str(path))
    before = opened_state(found.content, trust, profile="two", signature=found.signature)
    if new_dek:
        ksm_storage.rekey(path)
    ksm_storage.open_storage(path, profile="two").set("hostname", "new")
    found = read_file(str(path))

    after = reread_state(
        found.content, before, trust, profile="two", signature=found.signature, path=str(path)
    )

    assert after.config == {"hostname": "new"}
    assert after.signature == found.signature != before.signature
    assert after.raw == found.content
