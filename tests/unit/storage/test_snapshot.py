"""What is kept of an envelope that another process saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.config.document import ACTIVE_PROFILE, Document
from ksm_storage.envelope.opening import Opened
from ksm_storage.errors import ContinuityError
from ksm_storage.files.reading import read_file
from ksm_storage.storage import snapshot
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import create_document
from ksm_storage.storage.snapshot import Snapshot, open_snapshot


@pytest.fixture
def path(folder: Path, key: str) -> Path:
    profiles = {"one": {"hostname": "1"}, "two": {"hostname": "2"}}
    document = Document(profiles, {ACTIVE_PROFILE: "one"})
    create_document(folder / "config", OpenPolicy.from_args([key], None, None), document)
    return folder / "config"


@pytest.mark.parametrize("new_dek", [False, True], ids=["same dek", "other dek"])
def test_a_reread_keeps_the_profile_and_takes_the_new_signature(path: Path, new_dek: bool) -> None:
    trust = OpenPolicy.from_args(None, None, None)
    found = read_file(str(path))
    before = open_snapshot(found.content, trust, profile="two", signature=found.signature)
    if new_dek:
        ksm_storage.rekey(path)
    ksm_storage.open_storage(path, profile="two").set("hostname", "new")
    found = read_file(str(path))

    after = open_snapshot(
        found.content,
        trust,
        profile="two",
        signature=found.signature,
        path=str(path),
        before=before,
    )

    assert after.config == {"hostname": "new"}
    assert after.signature == found.signature != before.signature
    assert after.raw == found.content


def test_an_opening_is_shared_with_none_of_other_bytes_or_another_trust(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def alone(what: object, call: Callable[[], Opened]) -> Opened:
        asked.append(what)
        return call()

    monkeypatch.setattr(snapshot, "open_once", alone)
    raw, trust = path.read_bytes(), OpenPolicy.from_args(None, None, None)
    other = OpenPolicy.from_args(None, {}, None)

    def opened(
        raw: bytes, trust: OpenPolicy, before: Snapshot | None = None, name: str | None = None
    ) -> Snapshot:
        return open_snapshot(raw, trust, profile="two", signature=None, before=before, path=name)

    first = opened(raw, trust)
    opened(raw, trust)
    opened(raw, other)
    # It knows another DEK and other bytes, so that it must ask again, and refuses the answer.
    with pytest.raises(ContinuityError):
        opened(raw, trust, before=first._replace(dek=bytes(32), raw=b""))
    opened(raw, trust, name="other")
    ksm_storage.open_storage(path, profile="two").set("hostname", "new")
    opened(path.read_bytes(), trust)

    # The last but one is the storage's own.
    del asked[5]
    assert asked[0] == asked[1]
    # A policy may hold a map, so they are compared and not hashed. What the storage knows is
    # compared after the opening, and needs no opening of its own.
    assert [asked.index(what) for what in asked] == [0, 0, 2, 0, 4, 5]
