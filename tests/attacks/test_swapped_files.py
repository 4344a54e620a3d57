"""A whole, true envelope in the place of another one: what a caller expects decides."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.config.document import Document, write_payload
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.model import Envelope
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import seal, seal_again, wrap_new_dek
from ksm_storage.errors import ContinuityError, DecryptionError, SettingsError
from ksm_storage.keys.kek import Kek
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import change_document, read_document
from ksm_storage.testing.distributions import write_distribution
from tests.attacks.claims import the_attacker
from tests.cli.command import run
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, new_key, write_plain
from tests.unit.storage.planted import Counted


def made(path: Path, key: str, **context: str) -> Path:
    """Seal a configuration that names its file."""
    ksm_storage.open_storage(path, keys=[key], context=context).set("hostname", path.name)
    return path


@the_attacker("puts a file of another application in its place")
def test_another_file_of_the_same_key_is_refused_by_its_context(
    folder: Path, counted: Counted
) -> None:
    key = "counted://one"
    ours = made(folder / "ours", key, app="payments")
    theirs = made(folder / "theirs", key, app="wiki")
    counted.calls.clear()
    ours.write_bytes(theirs.read_bytes())

    with pytest.raises(DecryptionError, match="has the context app=wiki, not app=payments"):
        ksm_storage.open_storage(ours, context={"app": "payments"})
    refused = run("check", str(ours), "--context", "app=payments")

    assert counted.calls == []
    assert refused.returncode == DecryptionError.exit_code


@the_attacker("puts a file of another application in its place")
def test_a_running_application_refuses_another_file_of_the_same_key(folder: Path, key: str) -> None:
    ours = made(folder / "ours", key, app="payments")
    theirs = made(folder / "theirs", key, app="wiki")
    storage = ksm_storage.open_storage(ours, context={"app": "payments"})
    ours.write_bytes(theirs.read_bytes())

    with pytest.raises(ContinuityError, match="another envelope"):
        storage.get("hostname")


@the_attacker("puts a file of another application in its place")
def test_another_file_of_another_key_is_refused_by_the_pinned_key(
    folder: Path, key: str, counted: Counted
) -> None:
    ours = made(folder / "ours", key)
    ours.write_bytes(made(folder / "theirs", "counted://one").read_bytes())
    counted.calls.clear()

    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.open_storage(ours, keys=[key])
    refused = run("get", str(ours), "hostname", "--trust", key)

    assert counted.calls == []
    assert refused.returncode == DecryptionError.exit_code


@the_attacker("puts a file of another application in its place")
def test_a_payload_moved_between_two_envelopes_is_refused(folder: Path, key: str) -> None:
    one, two = made(folder / "one", key), made(folder / "two", key)
    header = one.read_bytes().partition(b"\n\n")[0]
    one.write_bytes(header + b"\n\n" + two.read_bytes().partition(b"\n\n")[2])

    with pytest.raises(DecryptionError, match="does not open"):
        ksm_storage.open_storage(one)


@the_attacker("writes an envelope that names a key of their own")
@pytest.mark.parametrize("use", ["open", "get"])
def test_a_file_under_the_attackers_own_key_is_refused_before_any_call(
    use: str, folder: Path, key: str, counted: Counted
) -> None:
    ours = made(folder / "ours", key)
    storage = ksm_storage.open_storage(ours, keys=[key])
    ours.write_bytes(made(folder / "theirs", "counted://two").read_bytes())
    counted.calls.clear()

    with pytest.raises((DecryptionError, ContinuityError)):
        storage.get("hostname") if use == "get" else ksm_storage.open_storage(ours, keys=[key])

    assert counted.calls == []


@the_attacker("puts an older version of the same envelope back")
def test_a_version_from_before_a_key_was_removed_is_refused_where_it_was_seen(
    sealed: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "seen"))
    lost = new_key(folder / "lost.key")
    ksm_storage.rewrap(sealed, add=[lost])
    before = sealed.read_bytes()
    ksm_storage.rewrap(sealed, remove=[lost])
    ksm_storage.rekey(sealed)
    storage = ksm_storage.open_storage(sealed)
    sealed.write_bytes(before)

    with pytest.raises(ContinuityError):
        storage.get("hostname")
    with pytest.raises(ContinuityError):
        ksm_storage.open_storage(sealed)
    checked = run("check", str(sealed))

    assert checked.returncode == ContinuityError.exit_code
    assert "from before a rekey" in checked.stderr


@the_attacker("puts an older version of the same envelope back")
def test_it_is_a_warning_where_the_user_wants_that(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "seen"))
    monkeypatch.setenv("KSM_STORAGE_CONTINUITY", "warn")
    before = sealed.read_bytes()
    ksm_storage.open_storage(sealed).set("hostname", "newer")
    sealed.write_bytes(before)

    assert ksm_storage.open_storage(sealed).get("hostname") == CONFIG["hostname"]
    assert "revision 2 is recorded" in caplog.text


def forged(envelope: Envelope, dek: bytes, **changes: Any) -> bytes:
    """Return a whole envelope under a DEK that the attacker knows."""
    header = envelope.header._replace(**changes)
    payload = write_payload(Document.single({"hostname": "attacker.example"}))
    return encode(seal_again(envelope._replace(header=header), payload, dek=dek))


def refused_everywhere(path: Path, storage: EncryptedStorage) -> None:
    with pytest.raises((ContinuityError, DecryptionError)):
        storage.get("hostname")
    with pytest.raises((ContinuityError, DecryptionError)):
        ksm_storage.open_storage(path)


@the_attacker(
    "puts a whole envelope of their own, made with an Encrypt permission or a public key, "
    "in the place of yours"
)
@pytest.mark.parametrize("revision", [1, 2, 10**18 - 2])
@pytest.mark.parametrize("same_id", [False, True])
def test_an_encrypt_permission_is_not_enough(
    same_id: bool,
    revision: int,
    sealed: Path,
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "memory"))
    true, storage = sealed.read_bytes(), ksm_storage.open_storage(sealed)
    with Kek.open(KeyUri.parse(key)) as kek:
        new = wrap_new_dek([kek])
    envelope_id = decode(true).header.envelope_id if same_id else new.envelope_id
    made = seal(b"{}", new)
    sealed.write_bytes(forged(made, new.dek, revision=revision, envelope_id=envelope_id))

    refused_everywhere(sealed, storage)
    sealed.write_bytes(true)

    assert storage.get("hostname") == CONFIG["hostname"]
    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def _saved(path: Path) -> None:
    ksm_storage.open_storage(path).set("hostname", "fork.example")


def _rekeyed_and_saved(path: Path) -> None:
    ksm_storage.rekey(path)
    _saved(path)


# Each is made of one copy of a file, while the other one was changed as well.
FORKS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object], str]] = {
    "both saved": (_saved, _saved, "it is a fork"),
    "saved and rewrapped": (
        _saved,
        lambda path: ksm_storage.rewrap(path, add=[new_key(path.parent / "fork.key")]),
        "it is a fork",
    ),
    "both rekeyed": (ksm_storage.rekey, ksm_storage.rekey, "it is a fork"),
    "both rekeyed, one saved": (
        ksm_storage.rekey,
        _rekeyed_and_saved,
        "its data key was replaced without a rekey",
    ),
    "saved, and rekeyed twice": (
        ksm_storage.rekey,
        lambda path: (ksm_storage.rekey(path), ksm_storage.rekey(path)),
        "does not prove that its data key replaced",
    ),
}


@the_attacker("puts another copy of your file, which was saved or rekeyed elsewhere, in its place")
@pytest.mark.parametrize("action", [None, "refuse", "warn", "off"])
@pytest.mark.parametrize(("ours", "theirs", "reason"), FORKS.values(), ids=FORKS)
def test_a_fork_is_refused_in_a_running_process_and_later_as_the_policy_says(
    ours: Callable[[Path], object],
    theirs: Callable[[Path], object],
    reason: str,
    action: str | None,
    sealed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fork = sealed.with_name("fork.json")
    fork.write_bytes(sealed.read_bytes())
    theirs(fork)
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "memory"))
    if action is not None:
        monkeypatch.setenv("KSM_STORAGE_CONTINUITY", action)
    ours(sealed)
    running = ksm_storage.open_storage(sealed)

    sealed.write_bytes(fork.read_bytes())

    with pytest.raises(ContinuityError, match=reason):
        running.get("hostname")
    with pytest.raises(ContinuityError, match=reason):
        running.set("hostname", "ours")
    if action in (None, "refuse"):
        with pytest.raises(ContinuityError, match=reason):
            ksm_storage.open_storage(sealed)
        assert run("check", str(sealed)).returncode == ContinuityError.exit_code
    else:
        assert ksm_storage.open_storage(sealed).read_storage()
        assert (reason in caplog.text) is (action == "warn")
    assert sealed.read_bytes() == fork.read_bytes()


@the_attacker("can write to the folder that keeps the records, or to a record")
@pytest.mark.parametrize("action", ["refuse", "warn"])
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
@pytest.mark.parametrize("place", ["folder", "record"])
def test_a_memory_that_others_can_change_is_not_read(
    place: str,
    mode: int,
    action: str,
    sealed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = tmp_path / "memory"
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(memory))
    monkeypatch.setenv("KSM_STORAGE_CONTINUITY", action)
    ksm_storage.open_storage(sealed)
    (record,) = memory.iterdir()
    exposed, before = memory if place == "folder" else record, record.read_bytes()
    exposed.chmod(mode)
    caplog.clear()

    if action == "refuse":
        with pytest.raises(SettingsError, match="can be changed by other users") as caught:
            ksm_storage.open_storage(sealed)
        assert caught.value.hint == f"run: chmod go-w {exposed}"
        assert run("check", str(sealed)).returncode == SettingsError.exit_code
    else:
        ksm_storage.open_storage(sealed).set("hostname", "saved")
        assert f"chmod go-w {exposed}" in caplog.text
        assert record.read_bytes() == before


@the_attacker("can write to the folder that keeps the records, or to a record")
@forked.root_only
@pytest.mark.parametrize("place", ["folder", "record"])
def test_a_memory_of_another_user_is_not_read(
    place: str, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, key = shared_folder / "work", new_key(shared_folder / "app.key")
    work.mkdir()
    path = made(work / "config", key)
    memory = work / "memory"
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(memory))
    ksm_storage.open_storage(path)
    (record,) = memory.iterdir()
    forked.give_to_nobody(work, path, shared_folder / "app.key", memory, record)
    os.chown(memory if place == "folder" else record, 4321, 4321)
    memory.chmod(0o755)
    record.chmod(0o644)

    def refused() -> None:
        with pytest.raises(SettingsError, match=r"belongs to another user \(uid 4321\)"):
            ksm_storage.open_storage(path)

    assert forked.run_as_nobody(refused) == 0
    # Root reads it: it looks after the files of other users.
    os.chown(shared_folder / "app.key", 0, 0)
    ksm_storage.open_storage(path)


@the_attacker("can write to the folder that keeps the records, or to a record")
@forked.root_only
def test_the_advice_for_a_volume_of_root_and_a_group_can_be_followed(
    shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(shared_folder / "app.key")
    path = made(shared_folder / "config", key)
    volume = shared_folder / "volume"
    volume.mkdir()
    # As Kubernetes hands it out by fsGroup.
    os.chown(volume, 0, forked.NOBODY)
    volume.chmod(0o2775)
    forked.give_to_nobody(path, shared_folder / "app.key")

    def opened() -> None:
        monkeypatch.setenv("KSM_STORAGE_MEMORY", str(volume))
        with pytest.raises(SettingsError, match="can be changed by other users") as caught:
            ksm_storage.open_storage(path)
        assert "chmod" not in str(caught.value.hint)
        advised = str(caught.value.hint).split("'")[1]
        monkeypatch.setenv("KSM_STORAGE_MEMORY", advised)
        ksm_storage.open_storage(path)
        assert os.listdir(advised)

    assert forked.run_as_nobody(opened) == 0


@the_attacker("can write to the folder that keeps the records, or to a record")
def test_no_folder_above_the_records_is_created_for_others(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "new" / "one" / "memory"))

    before = os.umask(0)
    try:
        ksm_storage.open_storage(sealed)
    finally:
        os.umask(before)

    for folder in ("new", "new/one", "new/one/memory"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


@the_attacker("makes a file from a DEK that they kept from before a rekey")
@pytest.mark.parametrize(
    "changes",
    [{}, {"revision": 99}, {"generation": 2, "lineage": bytes(48), "revision": 99}],
    ids=["as it was", "newer", "as if rekeyed"],
)
def test_a_dek_from_before_a_rekey_makes_no_file(
    changes: dict[str, Any], sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "memory"))
    old = decode(sealed.read_bytes())
    dek, storage = open_envelope(old).dek, ksm_storage.open_storage(sealed)
    ksm_storage.rekey(sealed)
    storage.get("hostname")

    sealed.write_bytes(forged(old, dek, **changes))

    refused_everywhere(sealed, storage)


LOOSE = '''
"""A plugin whose only KEK binds no AAD, as RSA-OAEP and AES key wrap do not."""

from ksm_storage.plugin import Aad, hookimpl
from ksm_storage.testing.memory_kek import MemoryKek, MemoryKeyService

service = MemoryKeyService("one")


class LooseKek(MemoryKek):
    binds_aad = False

    def __init__(self):
        super().__init__("one", service)

    def wrap(self, dek, *, aad):
        return super().wrap(dek, aad=Aad({}))

    def unwrap(self, wrapped, *, aad):
        return super().unwrap(wrapped, aad=Aad({}))


@hookimpl
def key_wrapper_options():
    return []


@hookimpl
def open_key_wrapper(key_id, settings):
    return LooseKek()
'''


@the_attacker(
    "keeps a wrapped DEK from before a rekey, and that DEK, under a key that binds no AAD "
    "(RSA-OAEP, AES-KWP)"
)
@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("binds_aad", [True, False])
def test_a_wrapped_dek_from_before_a_rekey_opens_only_unseen_and_without_an_aad(
    binds_aad: bool,
    remembers: bool,
    folder: Path,
    tmp_path: Path,
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "planted_loose_plugin"
    plugins = tmp_path / "loose"
    write_distribution(
        plugins, "planted-loose", providers={"loose": name}, modules={f"{name}.py": LOOSE}
    )
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.delitem(sys.modules, name, raising=False)
    if remembers:
        monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "memory"))
    path = made(folder / "ours", "counted://one" if binds_aad else "loose://one")
    old = decode(path.read_bytes())
    dek = open_envelope(old).dek
    ksm_storage.rekey(path)
    running = ksm_storage.open_storage(path)

    path.write_bytes(forged(old, dek, generation=2, lineage=bytes(48), revision=99))

    with pytest.raises((ContinuityError, DecryptionError)):
        running.get("hostname")
    if binds_aad or remembers:
        with pytest.raises((ContinuityError, DecryptionError)):
            ksm_storage.open_storage(path)
    else:
        # What docs/threat-model.md does not promise.
        assert ksm_storage.open_storage(path).get("hostname") == "attacker.example"


@the_attacker("puts the file of an old device back")
def test_the_file_of_an_old_device_is_refused_where_the_new_one_was_seen(
    sealed: Path, folder: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "memory"))
    ksm_storage.open_storage(sealed)
    old = sealed.read_bytes()
    sealed.write_bytes(made(folder / "new", key).read_bytes())
    assert run("check", str(sealed)).returncode == ContinuityError.exit_code
    assert run("accept", str(sealed)).returncode == 0
    storage = ksm_storage.open_storage(sealed)

    sealed.write_bytes(old)

    refused_everywhere(sealed, storage)


@the_attacker("sets variables that loosen the rules of the machine")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a policy of root's")
def test_no_variable_loosens_the_policy_of_the_machine(
    sealed: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "etc" / "policy.toml"
    policy.parent.mkdir(mode=0o755)
    policy.write_text('[[trust]]\nkeys = ["key-file:///another.key"]\ncontinuity = "refuse"\n')
    policy.chmod(0o644)
    monkeypatch.setattr("ksm_storage.keys.setting_sources.POLICY_FILE", str(policy))
    for name, value in {
        "KSM_STORAGE_TRUST": key,
        "KSM_STORAGE_CONTINUITY": "off",
        "KSM_STORAGE_SETTINGS": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(DecryptionError, match="none of the keys that are trusted by"):
        ksm_storage.open_storage(sealed)
    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(sealed, keys=[key])


@the_attacker("sets variables that loosen the rules of the machine")
@pytest.mark.parametrize("action", ["off", "warn"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a policy of root's")
def test_no_variable_switches_off_the_memory_of_a_policy_that_says_no_more(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    policy = tmp_path / "etc" / "policy.toml"
    policy.parent.mkdir(mode=0o755)
    policy.write_text(f'[[trust]]\nmemory = "{tmp_path}/memory"\n')
    policy.chmod(0o644)
    monkeypatch.setattr("ksm_storage.keys.setting_sources.POLICY_FILE", str(policy))
    monkeypatch.setenv("KSM_STORAGE_CONTINUITY", action)
    before = sealed.read_bytes()
    ksm_storage.open_storage(sealed).set("hostname", "newer")
    sealed.write_bytes(before)

    with pytest.raises(ContinuityError, match="revision 2 is recorded"):
        ksm_storage.open_storage(sealed)


# By the name under which the rule and the record know the file, which is a link.
BY_LINK: dict[str, Callable[[Path, str], object]] = {
    "open_storage": lambda path, key: ksm_storage.open_storage(path),
    "read_document": lambda path, key: read_document(path, _any()),
    "change_document": lambda path, key: change_document(path, _any(), lambda document: document),
    "rewrap": lambda path, key: ksm_storage.rewrap(path, replace={key: key}),
    "rekey": lambda path, key: ksm_storage.rekey(path),
}


def _any() -> OpenPolicy:
    return OpenPolicy.from_args(None, None, None)


@pytest.fixture
def link(sealed: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "link"
    folder.symlink_to(sealed.parent)
    return folder / sealed.name


def set_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    settings = tmp_path / "settings.toml"
    settings.touch(mode=0o600)
    settings.write_text(f"[[trust]]\n{text}\n")
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(settings))


@pytest.mark.parametrize("use", BY_LINK.values(), ids=BY_LINK)
def test_a_rule_for_the_name_that_was_given_holds_where_a_link_leads_elsewhere(
    use: Callable[[Path, str], object],
    link: Path,
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pinned = 'keys = ["key-file:///another.key"]'
    set_rule(tmp_path, monkeypatch, f'path = "{link.parent}/*"\n{pinned}')

    with pytest.raises((DecryptionError, SettingsError), match=r"settings\.toml"):
        use(link, key)


@pytest.mark.parametrize("use", BY_LINK.values(), ids=BY_LINK)
def test_a_file_is_recorded_by_the_name_that_was_given(
    use: Callable[[Path, str], object],
    link: Path,
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = tmp_path / "memory"
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(memory))

    use(link, key)

    names = [json.loads(each.read_text())["name"] for each in memory.iterdir()]
    assert names == [str(link)]


@the_attacker("puts a plain configuration in the place of a sealed file, for a script to protect")
def test_a_plain_file_that_is_protected_does_not_replace_the_record(
    sealed: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "memory"))
    ksm_storage.open_storage(sealed)
    write_plain(sealed, {"hostname": "evil.example"})

    ksm_storage.protect(sealed, [key])

    with pytest.raises(ContinuityError, match="another envelope"):
        ksm_storage.open_storage(sealed)
    assert run("accept", str(sealed)).returncode == 0
    assert ksm_storage.open_storage(sealed).get("hostname") == "evil.example"
