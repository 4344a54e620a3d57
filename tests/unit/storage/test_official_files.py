"""A file that one of Keeper's own packages sealed is moved into an envelope."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.config.recognise import Form
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import DecryptionError
from tests.unit.storage.fixtures import CONFIG
from tests.unit.storage.planted import Counted

ONE, TWO = "counted://one", "counted://two"


@pytest.fixture
def path(folder: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seal a configuration under the second key as the official packages do."""
    key, nonce = os.urandom(32), os.urandom(12)

    def decrypt_official(kek: Any, ciphertext: bytes) -> bytes:
        if ciphertext != b"wrapped under two" or kek._id != "two":
            raise DecryptionError("it was wrapped under another key")
        return key

    planted: Any = sys.modules["planted_counted_plugin"]
    monkeypatch.setattr(planted.CountingKek, "decrypt_official", decrypt_official, raising=False)
    sealed = AESGCM(key).encrypt(nonce, json.dumps(CONFIG).encode(), None)
    parts = (b"wrapped under two", nonce, sealed[-16:], sealed[:-16])
    content = b"\xff\xff" + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    (folder / "c").write_bytes(content)
    return folder / "c"


@pytest.mark.parametrize("source", [TWO, KeyUri("counted", "two")], ids=["text", "uri"])
def test_it_is_opened_by_the_key_that_is_named_and_sealed_under_another(
    source: str | KeyUri, path: Path
) -> None:
    done = ksm_storage.protect(path, [ONE], from_key=source)

    assert (done.form, done.keys) == (Form.OFFICIAL, (ONE,))
    assert ksm_storage.open_storage(path, keys=[ONE]).read_storage() == CONFIG


def test_it_is_opened_by_the_key_under_which_it_will_be_sealed(path: Path) -> None:
    ksm_storage.protect(path, [TWO])

    assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG


def test_without_the_key_that_sealed_it_it_stays_as_it_is(path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(DecryptionError, match="under another key"):
        ksm_storage.protect(path, [ONE])

    assert path.read_bytes() == before


def test_a_dry_run_opens_it_as_the_run_would(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = path.read_bytes()

    refused = main(["protect", str(path), "--key", ONE, "--dry-run"])
    said = capsys.readouterr().err
    rehearsed = main(["protect", str(path), "--key", TWO, "--dry-run"])

    assert (refused, rehearsed) == (DecryptionError.exit_code, 0)
    assert "under another key" in said
    assert "would seal" in capsys.readouterr().err
    assert path.read_bytes() == before
