"""Where the PIN comes from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
)

from .interposer import Interposer
from .opening import AAD, DEK, ONE, open_kek
from .soft_token import PIN

pytestmark = pytest.mark.usefixtures("soft_token")


def test_a_function_that_returns_the_pin_is_called_when_the_token_asks() -> None:
    asked: list[int] = []

    def pin() -> str:
        asked.append(1)
        return PIN

    with open_kek(ONE, pin=pin) as kek:
        assert asked == []
        kek.wrap(DEK, aad=AAD)
        kek.wrap(DEK, aad=AAD)

    assert asked == [1]


def test_the_environment_gives_the_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_PKCS11_PIN", PIN)

    with open_kek(ONE, prompt="never") as kek:
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_end_that_a_shell_leaves_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("KSM_STORAGE_PKCS11_PIN", f"{PIN}{end}")

    for settings in ({"prompt": "never"}, {"pin": f"{PIN}{end}"}, {"pin": lambda: f"{PIN}{end}"}):
        with open_kek(ONE, **settings) as kek:
            kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_gives_the_pin(tmp_path: Path, start: str, end: str) -> None:
    with open_kek(ONE, pin_file=_pin_file(tmp_path, f"{start}{PIN}{end}")) as kek:
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("mode", [0o660, 0o604, 0o620, 0o601])
def test_a_pin_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = _pin_file(tmp_path, PIN)
    os.chmod(path, mode)

    with (
        open_kek(ONE, pin_file=path) as kek,
        pytest.raises(PermissionDeniedError, match="other users"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_pin_file_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _pin_file(tmp_path, PIN)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with open_kek(ONE, pin_file=path) as kek, pytest.raises(PermissionDeniedError, match="another"):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\0b", b"p" * 5000])
def test_a_pin_file_without_a_pin_is_refused(tmp_path: Path, content: bytes) -> None:
    path = _pin_file(tmp_path, "")
    Path(path).write_bytes(content)

    with open_kek(ONE, pin_file=path) as kek, pytest.raises(SettingsError):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "not a regular file"),
        (lambda path: None, "PIN file not found"),
    ],
)
def test_what_is_no_file_of_a_pin_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "pin")

    kek = open_kek(ONE, pin_file=str(tmp_path / "pin"))

    with kek, pytest.raises(SettingsError, match=message):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("text", [f"{PIN}\n\n# of the first card", f"user\r{PIN}"])
def test_a_pin_of_several_lines_is_not_sent_to_the_token(
    tmp_path: Path, text: str, interposer: Interposer
) -> None:
    path = _pin_file(tmp_path, text)

    with (
        open_kek(ONE, pin_file=path) as kek,
        pytest.raises(SettingsError, match="more than one line"),
    ):
        kek.wrap(DEK, aad=AAD)
    assert interposer.calls["C_Login"] == 0


@pytest.mark.parametrize("given", [PIN, f"user:{PIN}", "p" * 5000])
def test_a_pin_in_the_place_of_its_file_is_not_repeated(given: str) -> None:
    with open_kek(ONE, pin_file=given) as kek, pytest.raises(KsmStorageError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert given not in f"{caught.value} {caught.value.hint}"


def test_a_pin_in_the_place_of_its_descriptor_is_not_repeated() -> None:
    with open_kek(ONE, pin_fd="47110815") as kek, pytest.raises(SettingsError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "47110815" not in f"{caught.value} {caught.value.hint}"


def test_a_descriptor_gives_the_pin_once() -> None:
    read, write = os.pipe()
    os.write(write, f"{PIN}\n".encode())
    os.close(write)

    with open_kek(ONE, pin_fd=read) as kek, open_kek(ONE, pin_fd=read) as another:
        kek.wrap(DEK, aad=AAD)
        another.wrap(DEK, aad=AAD)
    with open_kek(ONE, pin_fd=read) as kek, pytest.raises(AuthenticationError, match="read before"):
        kek.wrap(DEK, aad=AAD)

    os.close(read)


@pytest.mark.parametrize("descriptor", [12345, -1, 2**40])
def test_a_descriptor_that_is_not_open_is_a_wrong_setting(descriptor: int) -> None:
    with open_kek(ONE, pin_fd=descriptor) as kek, pytest.raises(SettingsError, match="pin_fd"):
        kek.wrap(DEK, aad=AAD)


def test_two_ways_to_the_pin_are_refused() -> None:
    with pytest.raises(SettingsError, match="more than once"):
        open_kek(ONE, pin=PIN, pin_file="/run/pin")


def test_a_pin_without_a_login_is_refused() -> None:
    with pytest.raises(SettingsError, match="'login' is 'none'"):
        open_kek(ONE, pin=PIN, login="none")


def test_no_pin_and_nobody_to_ask_is_a_wrong_setting() -> None:
    with open_kek(ONE, prompt="when-interactive") as kek, pytest.raises(SettingsError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "pin_file" in str(caught.value.hint)


ASKING = """
from tests.opening import AAD, DEK, ONE, open_kek
with open_kek(ONE, prompt={prompt!r}) as kek:
    try:
        print("wrapped by", kek.wrap(DEK, aad=AAD).algorithm)
    except Exception as exc:
        print("refused:", type(exc).__name__)
"""


@pytest.mark.parametrize(
    ("prompt", "typed", "said"),
    [
        ("when-interactive", PIN, "wrapped by CKM_AES_GCM"),
        ("when-interactive", "\x04", "refused: SettingsError"),
        ("never", None, "refused: SettingsError"),
    ],
)
def test_a_person_at_a_terminal_is_asked(prompt: str, typed: str | None, said: str) -> None:
    text = ASKING.format(prompt=prompt)
    folder = str(Path(__file__).parent.parent)
    child = pexpect.spawn(
        sys.executable, ["-c", text], cwd=folder, timeout=20, encoding="utf-8", echo=False
    )
    if typed is not None:
        child.expect("PIN of the token 'ksm': ")
        child.send(typed if typed == "\x04" else f"{typed}\n")
    child.expect(pexpect.EOF)

    assert said in str(child.before)
    assert PIN not in str(child.before)


def _pin_file(folder: Path, text: str) -> str:
    path = folder / "pin"
    path.touch(mode=0o600)
    path.write_text(text, newline="")
    return str(path)
