"""The recovery key: wrapped to without its secret, unwrapped with it, and no slip unnoticed."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from ksm_storage.contract.key_wrapper import MAX_KEY_ID, KeyUri
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PluginLoadError,
    SettingsError,
)
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.kek import Kek
from ksm_storage.plugin import Aad
from ksm_storage.providers import recovery_secret
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import (
    format_recovery_file,
    open_recovery_file,
    read_recovery_file,
    secret_of,
    sheet,
    words_of,
)

SECRET = bytes(range(32))
AAD = Aad({"purpose": "test"})
DEK = b"d" * 32
KEY = RecoveryKey.of("office", SECRET)
URI = KeyUri("recovery", KEY.public_id)
RECORDED = KeyUri("recovery", KEY.key_id)
WORDS = " ".join(words_of(SECRET))
PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery_secret, "_SCRYPT_N", 2)


def test_the_key_of_a_secret_stays_the_same() -> None:
    # A release that derived another one would lose every file under the old one.
    assert KEY.key_id == "office/cjpgxm3iqfu6bfo4gywajdlz7k4lue337eh5ewdpapgrvlbl55yq"
    assert words_of(SECRET)[:3] == ["abandon", "amount", "liar"]


def test_wrapping_needs_no_secret_and_unwrapping_does() -> None:
    with Kek.open(URI) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

        with pytest.raises(KeyNotFoundError, match="secret is not given") as caught:
            kek.unwrap(wrapped, aad=AAD)

    assert "recovery use" in (caught.value.hint or "")
    with Kek.open(URI, {"recovery": {"words": lambda: sheet(words_of(SECRET))}}) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_a_recovery_file_unwraps_too(tmp_path: Path) -> None:
    path = tmp_path / "office.recovery"
    path.write_bytes(format_recovery_file(KEY, SECRET, PASSPHRASE))
    given = {"recovery": {"file": str(path), "passphrase": PASSPHRASE}}

    with Kek.open(URI, given) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"words": " ".join(words_of(bytes(32)))}, DecryptionError, "does not belong to 'office'"),
        (
            {"words": "abandon " * 23},
            SettingsError,
            "expected 24 recovery words or .*, found 23",
        ),
        ({"words": "a", "file": "b"}, SettingsError, "cannot be combined"),
        ({"file": "/no/such/file", "passphrase": "p"}, SettingsError, "cannot read"),
        ({"file": "/no/such/file"}, SettingsError, "'passphrase' is missing"),
    ],
)
def test_a_secret_that_does_not_serve_is_told(
    given: dict[str, object], error: type[KsmStorageError], match: str
) -> None:
    with Kek.open(URI, {"recovery": given}) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

        with pytest.raises(error, match=match):
            kek.unwrap(wrapped, aad=AAD)


def test_another_name_of_the_same_secret_is_another_key() -> None:
    home = RecoveryKey.of("home", SECRET)
    with Kek.open(URI) as kek:
        renamed = kek.wrap(DEK, aad=AAD)._replace(key_id=home.key_id)

    assert home.key_id != KEY.key_id
    with (
        Kek.open(KeyUri("recovery", home.key_id), {"recovery": {"words": WORDS}}) as kek,
        pytest.raises(DecryptionError, match="does not decrypt"),
    ):
        kek.unwrap(renamed, aad=AAD)


def test_the_fingerprint_alone_wraps_only_with_the_secret() -> None:
    with Kek.open(RECORDED, {"recovery": {"words": WORDS}}) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK
    with Kek.open(RECORDED) as kek, pytest.raises(SettingsError, match="needs its public key"):
        kek.wrap(DEK, aad=AAD)


def test_a_rekey_finds_the_public_key_in_the_wrapped_dek() -> None:
    plugin = find_plugin("recovery")
    with Kek.open(URI) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    assert plugin.newest_version(RECORDED, wrapped.algorithm, wrapped.ciphertext) == URI
    with pytest.raises(DecryptionError, match="public key of another key"):
        plugin.newest_version(RECORDED, wrapped.algorithm, b"x" + wrapped.ciphertext[1:])


@pytest.mark.parametrize("place", [0, 1_184, 1_216, 2_304, 2_336, 2_383])
def test_every_part_of_a_wrapped_dek_is_authenticated(place: int) -> None:
    with Kek.open(URI, {"recovery": {"words": WORDS}}) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        altered = bytearray(wrapped.ciphertext)
        altered[place] ^= 1

        with pytest.raises(DecryptionError):
            kek.unwrap(wrapped._replace(ciphertext=bytes(altered)), aad=AAD)


@pytest.mark.parametrize("missing", ["mlkem.MLKEM768PublicKey", "mlkem.MLKEM768PrivateKey"])
def test_a_build_without_ml_kem_is_a_documented_error(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kek.open(URI, {"recovery": {"words": WORDS}}) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

        def refuse(_raw: bytes) -> None:
            raise UnsupportedAlgorithm("ML-KEM-768 is not supported by this backend")

        for name in ("from_public_bytes", "from_seed_bytes"):
            target = f"cryptography.hazmat.primitives.asymmetric.{missing}.{name}"
            monkeypatch.setattr(target, refuse, raising=False)

        with pytest.raises(PluginLoadError, match="no ML-KEM-768") as caught:
            kek.unwrap(kek.wrap(DEK, aad=AAD) if "Public" in missing else wrapped, aad=AAD)

    assert "FIPS" in (caught.value.hint or "")


def test_a_key_id_fits_with_the_longest_name() -> None:
    key = RecoveryKey.of("n" * 64, SECRET)

    assert len(key.public_id) == 1_691 <= MAX_KEY_ID
    assert RecoveryKey.parse(key.public_id) == key
    assert RecoveryKey.parse(key.key_id) == key._replace(public=None)


@pytest.mark.parametrize("place", [7, 8, 40, 800, 1_584, 1_585, 1_627, 1_632])
def test_a_damaged_uri_is_noticed(place: int) -> None:
    text = KEY.public_id
    other = "a" if text[place] != "a" else "b"

    with pytest.raises(SettingsError, match="a character is wrong"):
        Kek.open(KeyUri("recovery", text[:place] + other + text[place + 1 :]))


@pytest.mark.parametrize(
    "key_id",
    [
        "office",
        "office/",
        KEY.key_id.upper(),
        KEY.key_id[:-1],
        f"{KEY.key_id}/x",
        KEY.public_id.upper(),
        KEY.public_id[:-1],
        f"{KEY.public_id}=",
        f"{KEY.public_id}AAAA",
        KEY.public_id.replace("office", "home"),
        "/x",
        "-/x",
        KEY._replace(name="-a").key_id,
        f"office/{'1' * 52}",
    ],
)
def test_what_is_no_recovery_key_is_refused(key_id: str) -> None:
    with pytest.raises(SettingsError, match="not a recovery key"):
        Kek.open(KeyUri("recovery", key_id))


def test_a_public_key_that_nobody_can_hold_is_refused() -> None:
    bad = RecoveryKey.of_public("office", b"\xff" * 1_216)

    with Kek.open(KeyUri("recovery", bad.public_id)) as kek, pytest.raises(KeyStateError):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "x" * 65, "ä"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is not a valid name for a recovery key"):
        RecoveryKey.of(name, SECRET)


@pytest.mark.parametrize(
    "write",
    [
        sheet,
        " ".join,
        "\n".join,
        lambda words: " ".join(words).upper(),
        lambda words: f"recovery://office/abc\n{sheet(words)}\n",
        lambda words: "\ufeff" + "\r\n".join(words),
    ],
    ids=["sheet", "spaces", "lines", "capitals", "with its URI", "from an editor"],
)
def test_words_are_read_as_people_write_them(write: Callable[[list[str]], str]) -> None:
    secret = os.urandom(32)

    assert secret_of(write(words_of(secret))) == secret


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected 24 recovery words or .*, found 0"),
        (
            " ".join(words_of(SECRET)[:12]),
            "expected 24 recovery words or .*, found 12",
        ),
        (" ".join(["canaryword", *words_of(SECRET)[1:]]), "recovery word 1"),
        (
            " ".join([*words_of(SECRET)[1:], words_of(SECRET)[0]]),
            "the checksum of the recovery words",
        ),
    ],
)
def test_wrong_words_are_told_without_showing_them(text: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match) as caught:
        secret_of(text)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    for word in text.split():
        assert word not in f"{caught.value!s} {caught.value.hint}".split()


def test_a_recovery_file_shows_nothing_of_the_secret() -> None:
    content = format_recovery_file(KEY, SECRET, PASSPHRASE)

    assert content.startswith(b"ksm-storage recovery file v1\nkey: recovery://office/")
    assert open_recovery_file(content.decode(), PASSPHRASE) == SECRET
    assert format_recovery_file(KEY, SECRET, PASSPHRASE) != content


def test_the_memory_hard_function_takes_128_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert 128 * recovery_secret._SCRYPT_R * recovery_secret._SCRYPT_N == 128 * 2**20


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_an_altered_recovery_file_does_not_open(place: int) -> None:
    content = bytearray(format_recovery_file(KEY, SECRET, PASSPHRASE))
    content[place] ^= 1

    with pytest.raises((SettingsError, DecryptionError)):
        open_recovery_file(content.decode("ascii", errors="replace"), PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.removesuffix(b"\n"),
        lambda content: b"\xef\xbb\xbf" + content,
    ],
    ids=["line ends", "no last line end", "a mark of its encoding"],
)
def test_a_recovery_file_opens_after_a_mail_or_an_editor(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "office.recovery"
    path.write_bytes(change(format_recovery_file(KEY, SECRET, PASSPHRASE)))

    assert open_recovery_file(read_recovery_file(str(path)), PASSPHRASE) == SECRET


@pytest.mark.parametrize("path", ["/x\0", "/\ud800", "/no/such/file", "/dev"])
def test_a_recovery_file_that_cannot_be_read_is_a_settings_error(path: str) -> None:
    with pytest.raises(SettingsError, match="cannot read the recovery file"):
        read_recovery_file(path)


@pytest.mark.parametrize("text", ["", "x", "ksm-storage recovery file v1\n\n\n\n", "a\nb\nc\nd\n"])
def test_what_is_no_recovery_file_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="not a recovery file, or damaged"):
        open_recovery_file(text, PASSPHRASE)


@pytest.mark.parametrize("more", ["x", "\n", "sealed: \n"])
def test_what_follows_a_recovery_file_is_refused(more: str) -> None:
    text = format_recovery_file(KEY, SECRET, PASSPHRASE).decode() + more

    with pytest.raises(SettingsError, match="not a recovery file, or damaged"):
        open_recovery_file(text, PASSPHRASE)


@pytest.mark.parametrize("line", [2, 3])
def test_a_part_of_a_recovery_file_that_is_too_short_is_refused(line: int) -> None:
    lines = format_recovery_file(KEY, SECRET, PASSPHRASE).decode().split("\n")
    lines[line] = f"{lines[line].partition(' ')[0]} AAAA"

    with pytest.raises(SettingsError, match="not a recovery file, or damaged"):
        open_recovery_file("\n".join(lines), PASSPHRASE)


@pytest.mark.parametrize("length", [0, 80, 2_383, 2_385])
def test_a_wrapped_dek_of_another_length_is_refused_before_it_is_decrypted(length: int) -> None:
    with Kek.open(URI) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)._replace(ciphertext=bytes(length))

        with pytest.raises(DecryptionError, match="wrong length"):
            kek.unwrap(wrapped, aad=AAD)


def test_another_passphrase_does_not_open_it() -> None:
    text = format_recovery_file(KEY, SECRET, PASSPHRASE).decode()

    with pytest.raises(DecryptionError, match="wrong passphrase"):
        open_recovery_file(text, f"{PASSPHRASE}!")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 12"):
        format_recovery_file(KEY, SECRET, "short")


def test_no_failure_shows_the_secret_the_words_or_the_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(format_recovery_file(KEY, SECRET, PASSPHRASE))
    shown: list[str] = []
    foreign = KeyUri("recovery", RecoveryKey.of("other", bytes(32)).public_id)
    words = " ".join(words_of(SECRET))
    for given in (
        {"words": words},
        {"words": f"{words} {words}"},
        {"words": words.replace("abandon", "zebra-canary", 1)},
        {"file": str(path), "passphrase": PASSPHRASE},
        {"file": str(path), "passphrase": f"{PASSPHRASE}x"},
    ):
        with Kek.open(foreign, {"recovery": given}) as kek:
            wrapped = kek.wrap(DEK, aad=AAD)
            shown.append(repr(kek) + repr(kek._wrapper))
            with pytest.raises(KsmStorageError) as caught:
                kek.unwrap(wrapped, aad=AAD)
        shown.append("".join(traceback.format_exception_only(caught.value)))
        shown.append(repr(caught.value.as_dict()) + repr(caught.value.__cause__))

    text = "\n".join(shown)
    for canary in (PASSPHRASE, "amount", "liar", "zebra-canary", SECRET.hex(), repr(SECRET)):
        assert canary not in text
