"""The same attacks on the official storages, unchanged: what they take and ours refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest

import ksm_storage
from benchmarks.crash import SERVICES
from benchmarks.crash_packages import Package
from benchmarks.services.service import NotMeasuredError
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import ContinuityError, DecryptionError
from tests.unit.storage.fixtures import CONFIG, write_plain


class Storages(NamedTuple):
    """Hold the official class of a service, and the URI of a key for ours."""

    official: Package
    key: str

    def seal(self, path: Path, hostname: str) -> Path:
        """Let the official class seal a configuration."""
        write_plain(path, {**CONFIG, "hostname": hostname})
        self.official.open(path)
        return path

    def hostname(self, path: Path) -> object:
        """Return what the official class takes out of a file."""
        return self.official.open(path).read_storage()["hostname"]


@pytest.fixture(params=sorted(SERVICES))
def storages(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storages]:
    """Lead the official class and our plugin to an emulator of their service."""
    # The official classes know no endpoint: they are led there by what the process resolves, and
    # by the default session of boto3.
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    (tmp_path / "service").mkdir()
    try:
        with SERVICES[request.param](tmp_path / "service") as (ours, official):
            (recipient,) = decode(ours.path.read_bytes()).header.recipients
            yield Storages(official, str(recipient.key))
    except NotMeasuredError as exc:
        pytest.skip(str(exc))


def test_a_swapped_file_is_taken_by_the_official_class_and_refused_by_ours(
    folder: Path, storages: Storages
) -> None:
    theirs = storages.seal(folder / "a", "payments")
    theirs.write_bytes(storages.seal(folder / "b", "wiki").read_bytes())
    ours, other = folder / "ours", folder / "other"
    for path in (ours, other):
        context = {"app": path.name}
        ksm_storage.open_storage(path, keys=[storages.key], context=context).set("a", "b")
    ours.write_bytes(other.read_bytes())

    assert storages.hostname(theirs) == "wiki"
    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(ours, context={"app": "ours"})


def test_an_older_file_is_taken_by_the_official_class_and_refused_by_ours(
    folder: Path, storages: Storages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "seen"))
    theirs = storages.seal(folder / "a", "older")
    ours = folder / "ours"
    ksm_storage.open_storage(ours, keys=[storages.key]).set("hostname", "older")
    before = {path: path.read_bytes() for path in (theirs, ours)}
    storages.official.open(theirs).save_storage({"hostname": "newer"})
    ksm_storage.open_storage(ours).set("hostname", "newer")
    assert storages.hostname(theirs) == "newer"
    for path, raw in before.items():
        path.write_bytes(raw)

    assert storages.hostname(theirs) == "older"
    with pytest.raises(ContinuityError):
        ksm_storage.open_storage(ours)
