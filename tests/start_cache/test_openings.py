"""Openings with the cache on: which of them call the key service, and who says so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.keys import dek_cache, kernel_keyring
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import read_document
from tests.unit.storage.fixtures import CONFIG
from tests.unit.storage.planted import Counted

KEY, OTHER = "counted://one", "counted://two"


@pytest.fixture
def path(
    session_keyring: None, folder: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Seal a configuration; the cache is on, and knows nothing of it."""
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[KEY]).save_storage(CONFIG)
    monkeypatch.setenv("KSM_STORAGE_CACHE", "300")
    counted.calls.clear()
    return path


def opened(path: Path) -> str | None:
    return ksm_storage.open_storage(path).get("hostname")


def test_the_second_opening_makes_no_call(path: Path, counted: Counted) -> None:
    assert opened(path) == opened(path) == CONFIG["hostname"]

    assert counted.calls == [("unwrap", "one")]


def test_it_is_off_unless_it_is_turned_on(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KSM_STORAGE_CACHE")

    opened(path)
    opened(path)

    assert counted.calls == [("unwrap", "one")] * 2


def test_it_can_be_turned_on_by_the_call(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KSM_STORAGE_CACHE")
    settings = {"cache": {"keys": {KEY: 60}}}

    for _ in range(2):
        ksm_storage.open_storage(path, settings=settings)

    assert counted.calls == [("unwrap", "one")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a policy of root's")
def test_nothing_loosens_what_the_policy_of_the_machine_allows_the_cache(
    path: Path, counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "etc" / "policy.toml"
    policy.parent.mkdir(mode=0o755)
    monkeypatch.setattr("ksm_storage.keys.setting_sources.POLICY_FILE", str(policy))
    kept: list[int] = []
    keep = kernel_keyring.keep

    def observed(name: str, dek: bytes, *, keyring: str, seconds: int) -> None:
        kept.append(seconds)
        keep(name, dek, keyring=keyring, seconds=seconds)

    monkeypatch.setattr(kernel_keyring, "keep", observed)
    # Kept for 300 seconds before the policy came: a shorter time holds for that entry too.
    opened(path)
    for seconds in (60, 0):
        policy.write_text(f'[[trust]]\npath = "{path}"\nmax_cache_seconds = {seconds}\n')
        policy.chmod(0o644)
        for settings in (None, {"cache": {"seconds": 900, "keys": {KEY: 900}}}):
            ksm_storage.open_storage(path, settings=settings)

    assert kept == [300, 60]
    assert counted.calls == [("unwrap", "one")] * 4


def test_a_save_keeps_the_data_key_and_so_does_the_cache(path: Path, counted: Counted) -> None:
    ksm_storage.open_storage(path).set("hostname", "changed")

    assert opened(path) == "changed"
    assert counted.calls == [("unwrap", "one")]


def test_a_rekey_and_another_recipient_never_hit(path: Path, counted: Counted) -> None:
    opened(path)
    ksm_storage.rewrap(path, add=[OTHER], remove=[KEY])
    counted.calls.clear()
    opened(path)
    after_rewrap = list(counted.calls)
    ksm_storage.rekey(path)
    counted.calls.clear()
    opened(path)

    assert after_rewrap == [("unwrap", "two")]
    assert counted.calls == [("unwrap", "two")]


ASKS_THE_SERVICE: dict[str, Callable[[Path], object]] = {
    "check": lambda path: main(["check", str(path)]),
    "accept": lambda path: main(["accept", str(path)]),
    "status": lambda path: main(["status", str(path)]),
    "rewrap": lambda path: ksm_storage.rewrap(path, replace={KEY: KEY}),
    "rekey": lambda path: ksm_storage.rekey(path),
    "read_document": lambda path: read_document(path, OpenPolicy.from_args(None, None, None)),
}


@pytest.mark.parametrize("use", ASKS_THE_SERVICE.values(), ids=ASKS_THE_SERVICE)
def test_what_proves_or_changes_keys_asks_the_service(
    use: Callable[[Path], object], path: Path, counted: Counted
) -> None:
    opened(path)
    counted.calls.clear()

    use(path)

    assert ("unwrap", "one") in counted.calls


def test_what_proves_keys_leaves_nothing_in_the_cache(path: Path, counted: Counted) -> None:
    main(["check", str(path)])
    counted.calls.clear()

    opened(path)

    assert counted.calls == [("unwrap", "one")]


def test_a_service_that_fails_is_not_noticed_until_the_time_is_over(
    path: Path, counted: Counted
) -> None:
    opened(path)
    counted.fail_with("AccessDenied")

    assert opened(path) == CONFIG["hostname"]


def test_an_entry_that_does_not_open_is_removed_and_the_service_asked(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = kernel_keyring.keep
    with monkeypatch.context() as patch:
        patch.setattr(kernel_keyring, "keep", lambda name, _, **how: keep(name, bytes(32), **how))
        opened(path)
    counted.calls.clear()

    assert [opened(path), opened(path)] == [CONFIG["hostname"]] * 2
    assert counted.calls == [("unwrap", "one")]


@pytest.mark.parametrize("bounds", [{"timeout": 30.0}, {"hedge": 1.0}])
def test_an_opening_against_the_clock_uses_it_too(
    bounds: dict[str, float], path: Path, counted: Counted
) -> None:
    for _ in range(2):
        ksm_storage.open_storage(path, **bounds)  # type: ignore[arg-type]  # both are floats

    assert counted.calls == [("unwrap", "one")]


def test_an_audit_event_tells_a_cached_opening(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_AUDIT_FILE", str(tmp_path / "audit"))

    opened(path)
    opened(path)

    events = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [event["event"] for event in events] == ["opened"] * 2
    assert [event.get("cached") for event in events] == [None, True]
    assert {tuple(event["keys"]) for event in events} == {(KEY,)}


def test_inspect_and_doctor_say_that_it_is_on(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"the data key is kept 300 s in the session keyring for {KEY} (from the environment)"

    main(["inspect", str(path)])
    inspected = capsys.readouterr().out
    main(["inspect", str(path), "--json"])
    as_json = json.loads(capsys.readouterr().out)
    main(["doctor", str(path)])
    examined = capsys.readouterr().out
    main(["doctor", str(path), "--json"])
    examined_json = json.loads(capsys.readouterr().out)

    assert f"\ncache        {line}\n" in inspected
    assert as_json["cache"] == [line]
    assert f"\n  cache        {line}\n" in examined
    assert examined_json["files"][0]["cache"] == [line]
    assert examined_json["files"][0]["notes"] == []


def test_they_say_nothing_where_it_is_off(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KSM_STORAGE_CACHE")

    main(["inspect", str(path)])
    main(["doctor", str(path)])

    assert "cache" not in capsys.readouterr().out


def test_inspect_reads_a_header_in_spite_of_an_invalid_setting(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KSM_STORAGE_CACHE", "often")

    assert main(["inspect", str(path)]) == 0
    assert "note: the cache's setting 'seconds'" in capsys.readouterr().err


# What a container, an old kernel, a full quota and another machine answer.
@pytest.mark.parametrize("number", ["ENOSYS", "EPERM", "EDQUOT", "EACCES"])
def test_without_a_keyring_it_opens_as_without_the_cache_and_warns_once(
    number: str,
    path: Path,
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import errno

    code = getattr(errno, number)

    def refuse(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(kernel_keyring, "_call", refuse)
    monkeypatch.setattr(dek_cache, "_warned", set())

    assert [opened(path), opened(path)] == [CONFIG["hostname"]] * 2
    main(["doctor", str(path)])

    assert counted.calls[:2] == [("unwrap", "one")] * 2
    reason = f"the kernel's keyring cannot be used: {os.strerror(code)}; each start calls"
    assert caplog.text.count(reason) == 1
    assert f"note         {reason} the key service" in capsys.readouterr().out
