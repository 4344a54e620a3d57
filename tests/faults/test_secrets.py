"""No payload and no key in logs, exceptions, names of objects or files, at any moment of a save."""

from __future__ import annotations

import base64
import errno
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.errors import KsmStorageError
from tests.faults.faulty_os import FaultyOs, fail
from tests.unit.storage.fixtures import write_plain

CANARY = "Canary0canary1canary2canary3canary4"
CONFIG = {"hostname": "keepersecurity.com", "privateKey": CANARY, "appKey": CANARY[::-1]}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Catch everything that any logger says at any level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(exc_text)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    return FaultyOs(monkeypatch)


def forms_of(secret: bytes) -> list[bytes]:
    """Return how a secret may show up: as it is, in base64 and in hexadecimal."""
    encoded = base64.b64encode(secret)
    return [
        secret,
        # Without its last characters it is found inside a longer text in base64, too.
        encoded[:-4],
        base64.urlsafe_b64encode(secret)[:-4],
        secret.hex().encode(),
        secret.hex().upper().encode(),
        repr(secret).encode(),
    ]


def all_forms(path: Path, key_file: Path) -> list[bytes]:
    """Return the forms of all secrets that have to do with a sealed file."""
    dek = open_envelope(decode(path.read_bytes())).dek
    secrets = [dek, key_file.read_bytes(), CANARY.encode(), CANARY[::-1].encode()]
    return [form for secret in secrets for form in forms_of(secret)]


def seen(forms: list[bytes], text: str | bytes) -> list[bytes]:
    raw = text.encode(errors="backslashreplace") if isinstance(text, str) else text
    return [form for form in forms if form in raw]


@pytest.mark.parametrize("mounted", [False, True], ids=["renamed", "in place"])
def test_no_file_holds_a_secret_at_any_moment_of_a_save(
    mounted: bool, folder: Path, key: str, tmp_path: Path, faulty: FaultyOs
) -> None:
    path = folder / "config"
    storage = ksm_storage.open_storage(path, keys=[key])
    storage.save_storage(CONFIG)
    forms = all_forms(path, tmp_path / "keys/app.key")
    faulty.mounted = mounted
    found: list[bytes] = []

    def look(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        for file in folder.iterdir():
            found.extend(seen(forms, file.read_bytes()))
        return perform()

    with faulty.watching(act=look):
        storage.set("appKey", CANARY)
        storage.set("url", CANARY)

    assert len(faulty.calls) > 20
    assert found == []


def test_no_file_but_the_plain_one_holds_a_secret_while_it_is_protected(
    folder: Path, key: str, tmp_path: Path, faulty: FaultyOs
) -> None:
    path = write_plain(folder / "config", CONFIG)
    others: list[bytes] = []

    def look(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        others.extend(file.read_bytes() for file in folder.iterdir() if file != path)
        return perform()

    with faulty.watching(act=look):
        ksm_storage.protect(path, keys=[key])

    forms = all_forms(path, tmp_path / "keys/app.key")
    assert any(others)
    assert [form for content in [*others, path.read_bytes()] for form in seen(forms, content)] == []


def test_nothing_that_is_logged_or_raised_or_shown_holds_a_secret(
    folder: Path, key: str, tmp_path: Path, faulty: FaultyOs, log: io.StringIO
) -> None:
    path = write_plain(folder / "config", CONFIG)
    done = ksm_storage.protect(path, keys=[key])
    storage = ksm_storage.open_storage(path)
    shown = [repr(done), str(done), repr(storage), str(storage)]
    shown.extend(repr(part) for part in vars(storage).values())
    for step in range(60):
        with faulty.watching(at=step, act=fail(errno.EIO)):
            shown.extend(_raised(lambda: storage.set("appKey", CANARY)))
        storage.set("appKey", CANARY[::-1])
    forms = all_forms(path, tmp_path / "keys/app.key")
    before = path.read_bytes()
    for damaged in (before[:-40], before.replace(b"\n", b"\n\n"), CANARY.encode(), b"{" + before):
        path.write_bytes(damaged)
        shown.extend(_raised(lambda: storage.get("appKey")))
        shown.extend(_raised(lambda: ksm_storage.open_storage(path)))
    path.write_bytes(f'{{"privateKey": "{CANARY}", "appKey": {CANARY}}}'.encode())
    shown.extend(_raised(lambda: ksm_storage.protect(path, keys=[key])))
    shown.extend(_raised(lambda: storage.set("url", {CANARY: CANARY})))  # type: ignore[arg-type]

    assert len(shown) > 100
    assert [form for text in [*shown, log.getvalue()] for form in seen(forms, text)] == []


def _raised(call: Callable[[], object]) -> list[str]:
    """Return all that can be shown of what the call raises, its causes included."""
    try:
        call()
    except KsmStorageError as exc:
        texts = ["".join(traceback.format_exception(exc)), repr(exc.as_dict())]
        cause: BaseException | None = exc
        while cause is not None:
            texts += [repr(cause), str(cause), repr(vars(cause))]
            cause = cause.__cause__ or cause.__context__
        # The source lines of this test name the canary's variable, not its value.
        return texts
    return []
