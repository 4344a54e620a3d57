"""Data keys that are kept for the next starts: nobody else reads, plants or prolongs one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.config.document import Document, write_payload
from ksm_storage.contract.key_wrapper import KeyUri, WrappedDek
from ksm_storage.envelope.codec import decode, encode, wrap_aad
from ksm_storage.envelope.model import Envelope
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import rewrap, seal, wrap_new_dek
from ksm_storage.errors import DecryptionError
from ksm_storage.keys import kernel_keyring
from ksm_storage.keys.dek_cache import DekCache
from ksm_storage.keys.kek import Kek
from tests.attacks.claims import the_attacker
from tests.start_cache.kernel_session import entry, plant
from tests.unit.storage.fixtures import CONFIG
from tests.unit.storage.planted import Counted

KEY, OTHER = "counted://one", "counted://two"
CACHE = DekCache(300, "session", {}, "test")

pytestmark = pytest.mark.usefixtures("session_keyring")


@pytest.fixture
def kept(folder: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seal a file and open it once with the cache on."""
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[KEY]).save_storage(CONFIG)
    monkeypatch.setenv("KSM_STORAGE_CACHE", "300")
    ksm_storage.open_storage(path)
    counted.calls.clear()
    ksm_storage.open_storage(path)
    assert counted.calls == []
    return path


def names_asked(monkeypatch: pytest.MonkeyPatch, path: Path) -> list[str]:
    """Return by which names an opening looks its data key up."""
    asked: list[str] = []

    def find(name: str, *, keyring: str) -> bytes | None:
        asked.append(name)
        return None

    with monkeypatch.context() as patch:
        patch.setattr(kernel_keyring, "find", find)
        ksm_storage.open_storage(path)
    return asked


@the_attacker("runs as another user where data keys are kept for the next starts")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_who_shares_the_session_reads_no_kept_data_key(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [name] = names_asked(monkeypatch, kept)
    child = os.fork()
    if child == 0:
        result = 0
        try:
            os.setresuid(65534, 65534, 65534)
            kernel_keyring.find(name, keyring="session")
        except OSError as exc:
            result = exc.errno or 1
        finally:
            os._exit(result)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EACCES
    assert kernel_keyring.find(name, keyring="session") is not None


@the_attacker("plants a data key of their own where data keys are kept, and a file that it opens")
def test_a_planted_data_key_opens_no_file(
    kept: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kek.open(KeyUri.parse(KEY)) as kek:
        new = wrap_new_dek([kek])
    # The attacker may not encrypt under the key: the wrapped data key is none of the service's.
    forged = seal(write_payload(Document.single({"hostname": "attacker.example"})), new)
    [recipient] = forged.header.recipients
    recipient = recipient._replace(ciphertext=os.urandom(60))
    kept.write_bytes(encode(rewrap(forged, [recipient], dek=new.dek)))
    plant(name_of(decode(kept.read_bytes()), monkeypatch), new.dek)
    counted.calls.clear()

    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(kept)

    assert counted.calls == [("unwrap", "one")]


def name_of(envelope: Envelope, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name by which the data key of an envelope is kept."""
    asked: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(kernel_keyring, "find", lambda name, *, keyring: asked.append(name))
        with pytest.raises(DecryptionError):
            open_envelope(envelope, cache=CACHE)
    return asked[0]


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "rekey": lambda path, patch: ksm_storage.rekey(path),
    "removed": lambda path, patch: ksm_storage.rewrap(path, add=[OTHER], remove=[KEY]),
}


@the_attacker(
    "opens a file through a kept data key after a rekey, the removal of a key, or a changed rule"
)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_file_asks_the_service(
    change: Callable[[Path, pytest.MonkeyPatch], object],
    kept: Path,
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(kept, monkeypatch)
    counted.calls.clear()

    ksm_storage.open_storage(kept)

    assert [operation for operation, _ in counted.calls] == ["unwrap"]


@the_attacker(
    "opens a file through a kept data key after a rekey, the removal of a key, or a changed rule"
)
@pytest.mark.parametrize(
    ("variable", "value"), [("KSM_STORAGE_TRUST", OTHER), ("KSM_STORAGE_CONTEXT", "env=prod")]
)
def test_a_changed_rule_is_checked_before_the_kept_data_key(
    variable: str, value: str, kept: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(kernel_keyring, "find", lambda *arguments, **how: pytest.fail("asked"))

    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(kept)

    assert counted.calls == []


@the_attacker(
    "opens a file through a kept data key after a rekey, the removal of a key, or a changed rule"
)
def test_a_pin_of_the_call_is_checked_before_the_kept_data_key(
    kept: Path, counted: Counted
) -> None:
    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.open_storage(kept, keys=[OTHER])
    with pytest.raises(DecryptionError, match="has the context"):
        ksm_storage.open_storage(kept, context={"env": "prod"})

    assert counted.calls == []


@pytest.mark.parametrize("part", ["key", "key_id", "algorithm", "ciphertext", "aad", "shifted"])
def test_each_part_of_what_is_unwrapped_is_part_of_the_name(part: str) -> None:
    key, wrapped = KeyUri("counted", "one"), WrappedDek("one", "AES", b"wrapped")
    aad = wrap_aad(bytes(16), 1, {"env": "prod"})
    CACHE.keep(bytes(32), key, wrapped, aad)
    assert CACHE.find(key, wrapped, aad) == bytes(32)
    others = {
        "key": (KeyUri("counted", "two"), wrapped, aad),
        "key_id": (key, WrappedDek("two", "AES", b"wrapped"), aad),
        "algorithm": (key, WrappedDek("one", "RSA", b"wrapped"), aad),
        "ciphertext": (key, WrappedDek("one", "AES", b"wrapper"), aad),
        "aad": (key, wrapped, wrap_aad(bytes(16), 2, {"env": "prod"})),
        "shifted": (key, WrappedDek("oneA", "ES", b"wrapped"), aad),
    }

    assert CACHE.find(*others[part]) is None


@the_attacker("prolongs the time of a kept data key")
def test_nobody_prolongs_a_kept_data_key(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [name] = names_asked(monkeypatch, kept)
    serial = int(entry(name)[0], 16)

    for operation, value in ((kernel_keyring._SET_TIMEOUT, 0), (kernel_keyring._SETPERM, 0x3F3F)):
        with pytest.raises(PermissionError):
            kernel_keyring._keyctl(operation, serial, value)
    for _ in range(3):
        ksm_storage.open_storage(kept)

    # "perm" would stand for an entry without an end.
    assert entry(name)[3] in {"5m", "4m"} | {f"{seconds}s" for seconds in range(280, 301)}


@the_attacker("turns the start cache on, or its time up, where the machine's policy forbids it")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a policy of root's")
def test_nothing_finds_a_kept_data_key_where_the_policy_forbids_it(
    kept: Path, counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "etc" / "policy.toml"
    policy.parent.mkdir(mode=0o755)
    policy.write_text("[[trust]]\nmax_cache_seconds = 0\n")
    policy.chmod(0o644)
    monkeypatch.setattr("ksm_storage.keys.setting_sources.POLICY_FILE", str(policy))
    monkeypatch.setattr(kernel_keyring, "find", lambda *arguments, **how: pytest.fail("asked"))
    monkeypatch.setattr(kernel_keyring, "keep", lambda *arguments, **how: pytest.fail("kept"))
    counted.calls.clear()

    for settings in (None, {"cache": {"seconds": 9000, "keys": {KEY: 9000}}}):
        ksm_storage.open_storage(kept, settings=settings)

    assert counted.calls == [("unwrap", "one")] * 2
