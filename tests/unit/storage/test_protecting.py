"""A plain configuration is sealed where it lies, and never lost on the way."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.config.document import Document, format_base64, format_json
from ksm_storage.config.ini_form import format_ini
from ksm_storage.config.recognise import Form, recognise
from ksm_storage.errors import (
    DecryptionError,
    EnvelopeError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    StorageError,
)
from ksm_storage.files.reading import read_file
from ksm_storage.storage import protecting
from ksm_storage.storage.protecting import protect_file
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, alter_staged_copies, names_in, new_key, write_plain
from tests.unit.storage.planted import Counted

JSON = json.dumps(CONFIG, indent=4, sort_keys=True).encode()
INI = b"""\
[_config]
active_profile = production
color = True

[production]
clientid = Y2xpZW50LWlk
privatekey = cHJpdmF0ZS1rZXk=
appkey = YXBwLWtleQ==
hostname = keepersecurity.com
serverpublickeyid = 10

[test]
clientid = b3RoZXI=
hostname = keepersecurity.eu
"""
FORMS = {
    "json": JSON,
    "json with a byte order mark": b"\xef\xbb\xbf" + JSON,
    "base64": base64.b64encode(JSON),
    "base64 in lines": base64.encodebytes(JSON),
    "ini": INI,
    "ini with a comment": b"; written by hand\n\n" + INI,
}


@pytest.mark.parametrize("content", FORMS.values(), ids=list(FORMS))
def test_a_plain_form_is_recognised_by_content_and_sealed(
    content: bytes, folder: Path, key: str
) -> None:
    path = folder / "any-name"
    path.write_bytes(content)

    storage = ksm_storage.open_storage(path, keys=[key])

    assert storage.read_storage() == CONFIG
    assert ksm_storage.open_storage(path).read_storage() == CONFIG
    assert names_in(folder) == ["any-name"]
    assert b"keepersecurity" not in path.read_bytes()


@pytest.mark.parametrize("content", FORMS.values(), ids=list(FORMS))
def test_a_plain_form_without_keys_is_refused_and_stays(content: bytes, folder: Path) -> None:
    path = folder / "config"
    path.write_bytes(content)

    with pytest.raises(EnvelopeError, match="is a plain configuration") as caught:
        ksm_storage.open_storage(path)

    assert "ksm-storage protect" in str(caught.value.hint)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "write"),
    [
        (JSON, lambda document: format_json(document.profiles[""])),
        (base64.b64encode(JSON), lambda document: format_base64(document.profiles[""])),
        (INI, format_ini),
    ],
    ids=["json", "base64", "ini"],
)
def test_what_was_sealed_is_exported_equal_in_meaning(
    content: bytes, write: Callable[[Document], bytes], folder: Path, key: str
) -> None:
    path = folder / "config"
    path.write_bytes(content)
    before = recognise(content, name="before")

    done = ksm_storage.protect(path, keys=[key])
    after = recognise(write(done.document), name="after")

    assert after == before
    assert done.form == before.form


def test_the_official_form_is_exported_byte_for_byte(folder: Path, key: str) -> None:
    path = write_plain(folder / "config")
    before = path.read_bytes()

    ksm_storage.protect(path, keys=[key])

    assert format_json(ksm_storage.open_storage(path).read_storage()) == before


def test_protect_tells_what_it_did(folder: Path, key: str) -> None:
    path = write_plain(folder / "config")

    done = ksm_storage.protect(path, keys=[key])

    assert (done.path, done.form, done.keys) == (str(path), Form.JSON, (key,))
    assert done.signature.identity == read_file(str(path)).signature.identity
    assert CONFIG["privateKey"] not in repr(done)
    assert done.dek.hex() not in repr(done)


def test_the_context_is_sealed_with_it(folder: Path, key: str) -> None:
    path = write_plain(folder / "config")

    done = ksm_storage.protect(path, keys=[key], context={"env": "prod"})

    assert done.envelope.header.context == {"env": "prod"}
    assert ksm_storage.open_storage(path, context={"env": "prod"}).read_storage() == CONFIG


def test_the_settings_of_the_caller_reach_the_plugin(folder: Path, counted: Counted) -> None:
    path = write_plain(folder / "config")

    with pytest.raises(SettingsError, match="'colour'"):
        ksm_storage.protect(path, ["counted://one"], settings={"counted": {"colour": "red"}})

    assert counted.calls == []


def test_a_file_that_is_no_configuration_is_named(folder: Path, key: str) -> None:
    path = folder / "package.json"
    path.write_text('{"name": "left-pad"}')

    with pytest.raises(StorageError) as caught:
        ksm_storage.protect(path, keys=[key])

    assert caught.value.message.startswith(f"{str(path)!r} has none of the fields")


@pytest.mark.parametrize(
    "content",
    {
        "not a configuration": b'{"name": "left-pad", "version": "1"}',
        "a list": b"[1, 2]",
        "cut off": JSON[:-10],
        "a value that is no string": b'{"hostname": 10}',
        "a field twice": b'{"hostname": "a", "hostname": "b"}',
        "utf-16": JSON.decode().encode("utf-16"),
        "not utf-8": b'{"hostname": "\xff"}',
        "the official aws form": b"\x01\x02\x02\x00" + bytes(200),
        "the official azure form": b"\xff\xff\x01\x00" + bytes(500),
        "blanks": b"  \n",
        "nothing": b"",
        "a program": b"\x7fELF" + bytes(100),
        "ini without a profile": b"[_config]\nactive_profile = x\n",
        "nested too deep": b"[" * 100_000,
        "deep object": b'{"a":' * 100_000,
    }.items(),
    ids=lambda case: case[0],
)
def test_what_is_no_configuration_is_refused_and_stays(
    content: tuple[str, bytes], folder: Path, key: str
) -> None:
    path = folder / "config"
    path.write_bytes(content[1])

    with pytest.raises(KsmStorageError):
        ksm_storage.open_storage(path, keys=[key])
    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, keys=[key])

    assert path.read_bytes() == content[1]
    assert names_in(folder) == ["config"]


def test_a_message_holds_nothing_of_the_configuration(folder: Path, key: str) -> None:
    path = folder / "config"
    path.write_bytes(b'{"privateKey": "CANARY", "appKey": CANARY}')

    with pytest.raises(StorageError) as caught:
        ksm_storage.protect(path, keys=[key])

    shown: BaseException | None = caught.value
    while shown is not None:
        assert "CANARY" not in repr(shown) + str(shown) + repr(vars(shown))
        shown = shown.__cause__ or shown.__context__ if not shown.__suppress_context__ else None


def test_a_sealed_file_is_not_sealed_again(sealed: Path, key: str) -> None:
    before = sealed.read_bytes()

    with pytest.raises(StorageError, match="already sealed"):
        ksm_storage.protect(sealed, keys=[key])

    assert sealed.read_bytes() == before


def test_a_missing_file_is_not_protected(folder: Path, key: str) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        ksm_storage.protect(folder / "config", keys=[key])

    assert names_in(folder) == []


@pytest.mark.parametrize(
    "keys", [["counted://wrap-only"], ["counted://one", "counted://wrap-only"]]
)
def test_a_key_that_can_wrap_and_not_unwrap_leaves_the_plain_file(
    keys: list[str], folder: Path, counted: Counted
) -> None:
    path = write_plain(folder / "config")
    before = path.read_bytes()

    with pytest.raises(PermissionDeniedError, match="wrap and not unwrap"):
        ksm_storage.protect(path, keys=keys)

    assert counted.calls[-1] == ("unwrap", "wrap-only")
    assert path.read_bytes() == before
    assert names_in(folder) == ["config"]


def test_each_key_unwraps_once_before_the_plain_file_goes(folder: Path, counted: Counted) -> None:
    path = write_plain(folder / "config")

    ksm_storage.protect(path, keys=["counted://one", "counted://two"])

    assert counted.calls == [
        ("wrap", "one"),
        ("wrap", "two"),
        ("unwrap", "one"),
        ("unwrap", "two"),
    ]


def test_a_staged_copy_that_was_altered_on_the_medium_leaves_the_plain_file(
    folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_plain(folder / "config")
    before = path.read_bytes()
    alter_staged_copies(monkeypatch)

    with pytest.raises((DecryptionError, EnvelopeError)):
        ksm_storage.protect(path, keys=[key])

    assert path.read_bytes() == before
    assert names_in(folder) == ["config"]


@pytest.mark.parametrize("how", ["protect", "open_storage"])
def test_a_hard_link_would_keep_the_plain_text_and_is_refused(
    how: str, folder: Path, key: str
) -> None:
    path = write_plain(folder / "config")
    os.link(path, folder / "other-name")
    before = path.read_bytes()

    with pytest.raises(StorageError, match="hard link"):
        getattr(ksm_storage, how)(path, keys=[key])

    assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["protect", "open_storage"])
def test_the_target_of_a_symbolic_link_is_sealed_and_not_the_link(
    how: str, folder: Path, key: str, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    target = write_plain(tmp_path / "real/config")
    link = folder / "link"
    link.symlink_to(target)

    getattr(ksm_storage, how)(link, keys=[key])

    assert link.is_symlink()
    assert b"keepersecurity" not in target.read_bytes()
    assert ksm_storage.open_storage(link).read_storage() == CONFIG
    assert (names_in(folder), names_in(tmp_path / "real")) == (["link"], ["config"])


@pytest.mark.parametrize("how", ["protect", "open_storage"])
@pytest.mark.parametrize("target", ["missing", "link"], ids=["dangling", "circle"])
def test_a_link_to_nothing_is_refused(how: str, target: str, folder: Path, key: str) -> None:
    (folder / "link").symlink_to(folder / target)

    with pytest.raises(StorageError, match="symbolic link"):
        getattr(ksm_storage, how)(folder / "link", keys=[key])

    assert names_in(folder) == ["link"]


def test_a_link_in_place_of_the_temporary_file_is_not_followed(
    folder: Path, key: str, tmp_path: Path
) -> None:
    path = write_plain(folder / "config")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / ".config.ksm-tmp").symlink_to(victim)

    ksm_storage.protect(path, keys=[key])
    ksm_storage.open_storage(path).set("hostname", "h")

    assert victim.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o600, 0o400])
def test_a_protected_file_is_readable_by_its_owner_alone(mode: int, folder: Path, key: str) -> None:
    path = write_plain(folder / "config")
    path.chmod(mode)
    if mode == 0o400 and os.geteuid() != 0:
        pytest.skip("only root can write a file of mode 0400")

    ksm_storage.protect(path, keys=[key])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_mode_that_is_given_is_taken(folder: Path, key: str) -> None:
    path = write_plain(folder / "config")

    ksm_storage.protect(path, keys=[key], mode=0o640)
    ksm_storage.open_storage(path).set("hostname", "h")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_profile_that_is_not_there_is_refused_before_anything_is_sealed(
    folder: Path, counted: Counted
) -> None:
    path = folder / "keeper.ini"
    path.write_bytes(INI)

    with pytest.raises(SettingsError, match="profile 'staging' not found") as caught:
        ksm_storage.open_storage(path, keys=["counted://one"], profile="staging")

    assert "production, test" in str(caught.value.hint)
    assert counted.calls == []
    assert path.read_bytes() == INI


def test_the_active_profile_is_shown_and_others_by_name(folder: Path, key: str) -> None:
    path = folder / "keeper.ini"
    path.write_bytes(INI)

    active = ksm_storage.open_storage(path, keys=[key])
    other = ksm_storage.open_storage(path, profile="test")

    assert active.read_storage() == CONFIG
    assert other.read_storage() == {"clientId": "b3RoZXI=", "hostname": "keepersecurity.eu"}


def test_a_change_in_one_profile_leaves_the_others(folder: Path, key: str) -> None:
    path = folder / "keeper.ini"
    path.write_bytes(INI)
    active = ksm_storage.open_storage(path, keys=[key])
    other = ksm_storage.open_storage(path, profile="test")

    active.set("hostname", "a")
    other.delete_all()
    active.set("url", "b")

    assert other.read_storage() == {}
    assert active.read_storage() == {**CONFIG, "hostname": "a", "url": "b"}


def test_several_profiles_of_which_none_is_active_must_be_told_apart(
    folder: Path, key: str
) -> None:
    path = folder / "keeper.ini"
    path.write_bytes(INI.replace(b"active_profile", b"cache"))

    with pytest.raises(SettingsError, match="no profile is active"):
        ksm_storage.open_storage(path, keys=[key])

    assert ksm_storage.open_storage(path, keys=[key], profile="production").contains("appKey")


def test_the_profile_that_was_asked_for_stays_when_another_process_saves(
    folder: Path, counted: Counted
) -> None:
    path = folder / "keeper.ini"
    path.write_bytes(INI)
    storage = ksm_storage.open_storage(path, keys=["counted://one"], profile="test")
    calls = list(counted.calls)

    ksm_storage.open_storage(path).set("hostname", "of the other profile")
    counted.calls.clear()

    assert calls == [("wrap", "one"), ("unwrap", "one")]
    assert storage.get("hostname") == "keepersecurity.eu"
    assert counted.calls == []


@pytest.mark.parametrize("by", ["one", "two"])
def test_a_file_that_another_process_seals_meanwhile_is_opened_at_once(
    by: str, folder: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "keeper.ini"
    path.write_bytes(INI)

    def late(*arguments: Any, **named: Any) -> object:
        monkeypatch.setattr(protecting, "protect_file", protect_file)
        ksm_storage.protect(path, keys=[f"counted://{by}"])
        counted.calls.clear()
        return protect_file(*arguments, **named)

    monkeypatch.setattr(protecting, "protect_file", late)
    if by == "two":
        with pytest.raises(DecryptionError, match="none of the trusted keys"):
            ksm_storage.open_storage(path, keys=["counted://one"], profile="test")
        return
    storage = ksm_storage.open_storage(path, keys=["counted://one"], profile="test")

    assert counted.calls == [("unwrap", "one")]
    assert storage.get("hostname") == "keepersecurity.eu"
    assert counted.calls == [("unwrap", "one")]


@pytest.mark.parametrize(
    ("content", "problem", "advice"),
    [
        (JSON, "is a plain configuration", "protect '{path}', or pass keys="),
        (b"\xff\xff\x01\x00" + bytes(500), "by one of Keeper's own", "protect '{path}' --from-key"),
        (b"\x01\x02\x02\x00x" + bytes(99), "by one of Keeper's own", "protect '{path}' --from-key"),
        (b"rubbish", "is not an envelope: it is not a Keeper", "give the path of the sealed"),
    ],
    ids=["plain", "official", "official AWS", "rubbish"],
)
def test_what_is_no_envelope_is_named_with_what_to_do(
    content: bytes, problem: str, advice: str, folder: Path
) -> None:
    path = folder / "of a program"
    path.write_bytes(content)

    with pytest.raises(EnvelopeError, match=f"^{re.escape(repr(str(path)))} .*{problem}") as caught:
        ksm_storage.open_storage(path)

    assert advice.format(path=path) in (caught.value.hint or "")


def test_two_processes_that_protect_at_once_seal_once(folder: Path, key: str) -> None:
    path = write_plain(folder / "config")

    def work() -> None:
        assert ksm_storage.open_storage(path, keys=[key]).read_storage() == CONFIG

    started = [forked.start(work) for _ in range(8)]

    assert [forked.status_of(process) for process in started] == [0] * 8
    assert "revision 1," in repr(ksm_storage.open_storage(path))


def test_a_key_that_fails_at_the_wrap_leaves_the_plain_file(
    folder: Path, key: str, tmp_path: Path
) -> None:
    path = write_plain(folder / "config")
    before = path.read_bytes()
    missing = f"key-file://{tmp_path}/keys/missing.key"

    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, keys=[key, missing])

    assert path.read_bytes() == before
    assert names_in(folder) == ["config"]


def test_a_file_under_two_keys_opens_when_one_is_gone(
    folder: Path, key: str, tmp_path: Path
) -> None:
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=[key, new_key(tmp_path / "keys/second.key")])
    (tmp_path / "keys/app.key").unlink()

    assert ksm_storage.open_storage(path).read_storage() == CONFIG


@pytest.mark.parametrize(
    "use", [ksm_storage.open_storage, lambda path: ksm_storage.protect(path, ["key-file:///k"])]
)
def test_a_file_far_larger_than_any_configuration_is_not_read_whole(
    use: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(9 * 1024 * 1024)

    with pytest.raises(StorageError, match="is larger than 8388608 bytes"):
        use(path)
