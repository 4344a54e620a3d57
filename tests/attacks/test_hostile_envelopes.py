"""An envelope names keys and nothing else, and costs no more to refuse than its size allows."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.config.recognise import is_plain
from ksm_storage.envelope.codec import decode
from ksm_storage.envelope.model import MAX_FILE_BYTES, MAX_HEADER_BYTES
from ksm_storage.errors import (
    EnvelopeError,
    PluginConflictError,
    PluginNotFoundError,
    SettingsError,
    StorageError,
)
from ksm_storage.scan.detection import find_secrets
from ksm_storage.testing.distributions import write_distribution
from tests.attacks.claims import the_attacker

MAGIC = b"ksm-storage envelope v1\n"

SMUGGLED = [
    b"endpoint: https://attacker.invalid/",
    b"module: /tmp/attacker.so",
    b"plugin: attacker",
    b"credential: AKIAATTACKER",
    b"profile: attacker",
    b"setting: aws-kms.endpoint_url=https://attacker.invalid/",
]

# What a plugin must not take from a key id: its settings.
KEY_IDS = [
    b"pkcs11://module-path=/tmp/attacker.so;object=ksm",
    b"pkcs11://object=ksm?module-path=/tmp/attacker.so&pin-value=1",
    b"pkcs11://object=ksm?pin-source=file:///etc/passwd",
    b"aws-kms://https://attacker.invalid/key",
    b"azure-kv://https://attacker.invalid/keys/k/1",
    b"azure-kv://https://v.vault.azure.net@attacker.invalid/keys/k/1",
    b"oracle-kv://https://attacker.invalid/ocid1.key.oc1..k",
    b"gcp-kms://attacker.invalid/projects/p/locations/l/keyRings/r/cryptoKeys/k",
]


@the_attacker(
    "writes an envelope that names an endpoint, module path, credential or plugin setting"
)
@pytest.mark.parametrize("line", SMUGGLED)
@pytest.mark.parametrize(
    "before", [b"envelope-id: ", b"recipient: ", b"algorithm: ", b"header-mac: "]
)
def test_a_line_that_configures_something_is_refused(
    line: bytes, before: bytes, sealed: Path
) -> None:
    raw = sealed.read_bytes()
    sealed.write_bytes(raw.replace(before, line + b"\n" + before, 1))

    with pytest.raises(EnvelopeError):
        ksm_storage.open_storage(sealed)


@the_attacker(
    "writes an envelope that names an endpoint, module path, credential or plugin setting"
)
@pytest.mark.parametrize("uri", KEY_IDS)
def test_a_key_id_that_names_a_server_or_a_module_reaches_neither(
    uri: bytes, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[object] = []
    raw = sealed.read_bytes()
    start = raw.index(b"recipient: ")
    sealed.write_bytes(raw[:start] + b"recipient: " + uri + raw[raw.index(b"\n", start) :])
    monkeypatch.setattr("socket.getaddrinfo", lambda *asked, **_: reached.append(asked))
    monkeypatch.setattr("ctypes.CDLL", lambda name, *_, **__: reached.append(name))

    with pytest.raises(SettingsError, match=r"name|valid"):
        ksm_storage.open_storage(sealed)

    assert [what for what in reached if "attacker" in str(what)] == []


@the_attacker(
    "writes an envelope that names an endpoint, module path, credential or plugin setting"
)
def test_a_provider_is_looked_up_and_never_imported_by_its_name(
    sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = folder / "attacker.py"
    trap.write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(folder))
    raw = sealed.read_bytes()
    sealed.write_bytes(raw.replace(b"recipient: key-file://", b"recipient: attacker://", 1))

    with pytest.raises(PluginNotFoundError):
        ksm_storage.open_storage(sealed)

    assert not (folder / "ran").exists()


@the_attacker("puts a path into the name of a provider, profile or attached file")
@pytest.mark.parametrize(
    "provider", [b"../key-file", b"key/file", b"key.file", b"key_file", b"KEY-FILE", b"key-file\\x"]
)
def test_a_path_in_a_providers_name_is_refused(provider: bytes, sealed: Path) -> None:
    raw = sealed.read_bytes()
    sealed.write_bytes(raw.replace(b"recipient: key-file:", b"recipient: " + provider + b":", 1))

    with pytest.raises(EnvelopeError, match="invalid 'recipient'"):
        ksm_storage.open_storage(sealed)


@the_attacker("puts terminal escapes into labels or key names")
@pytest.mark.parametrize(
    "escape", [b"\x1b[2J", b"\x1b]0;x\x07", b"\x9b2J", b"\r", b"\x7f", b"\x08"]
)
@pytest.mark.parametrize("place", [b"context: env=", b"recipient: key-file://", b"algorithm: "])
def test_a_terminal_escape_is_refused_and_not_shown(
    escape: bytes, place: bytes, folder: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[key], context={"env": "prod"}).set("hostname", "h")
    path.write_bytes(path.read_bytes().replace(place, place + escape, 1))

    codes = [main(["inspect", str(path)]), main(["check", str(path)])]

    shown = "".join(capsys.readouterr())
    assert codes == [EnvelopeError.exit_code] * 2
    assert shown.replace("\n", "").isprintable()


HOSTILE_ENVELOPES: dict[str, Callable[[int], bytes]] = {
    "one line": lambda n: MAGIC + b"x" * n,
    "empty lines": lambda n: MAGIC + b"\n" * n,
    "header without end": lambda n: MAGIC + b"context: a=b\n" * (n // 13),
    "a long value": lambda n: MAGIC + b"suite: " + b"1" * n + b"\n\n",
    "colons": lambda n: MAGIC + b": " * (n // 2) + b"\n\n",
    "payload of line feeds": lambda n: MAGIC + b"suite: 1\n\n" + b"\n" * n,
    "a version without end": lambda n: b"ksm-storage envelope v" + b"9" * n,
    "journal marks": lambda n: b"\nksm-storage journal 0000000001 " * (n // 32),
}
HOSTILE_TEXTS: dict[str, Callable[[int], bytes]] = {
    "nested JSON": lambda n: b'{"a":' * (n // 5),
    "brackets": lambda n: b"[" * n,
    "fields": lambda n: b"{" + b",".join(b'"%d":""' % i for i in range(n // 8)) + b"}",
    "base64 of a letter a line": lambda n: b"e\n" * (n // 2),
    "blanks in an INI": lambda n: b"[x]\na" + b" " * n + b"b\n",
    "blanks before a delimiter": lambda n: b"[x]\na" + b" " * n + b"b=c\n",
    "lines of no INI": lambda n: b"[x]\n" + b"a\n" * (n // 2),
    "indented lines": lambda n: b"[x]\n  a=b\n" + b" c\n" * (n // 3),
    "empty names": lambda n: b"[x]\n" + b"=\n" * (n // 2),
    "sections": lambda n: b"".join(b"[%d]\n" % i for i in range(n // 16)),
    "dots": lambda n: b"a." * (n // 2),
    "prefixes of tokens": lambda n: b"US:" * (n // 3),
    "names of secrets": lambda n: b"privatekey=" * (n // 11),
    "a secret's name and quotes": lambda n: b"privatekey" + b"'" * n,
    "beginnings of base64": lambda n: b"eyA-" * (n // 4),
}


def _decoded(raw: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(raw)


def _looked_into(raw: bytes) -> None:
    is_plain(raw)
    for _ in find_secrets(raw):
        pass


def seconds(work: Callable[[bytes], None], raw: bytes) -> float:
    """Return the least processor time of a few tries, that of Python's collector left out."""

    def once() -> float:
        start = time.process_time()
        work(raw)
        return time.process_time() - start

    # The collector's own time grows with all objects of the process, those of other tests too.
    gc.disable()
    try:
        return min(once() for _ in range(3))
    finally:
        gc.enable()


def growth(work: Callable[[bytes], None], make: Callable[[int], bytes], size: int) -> float:
    """Return how much longer eight times the size takes; 8 is linear and 64 is quadratic."""
    # Below a millisecond the clock and what is constant decide.
    return seconds(work, make(size * 8)) / max(seconds(work, make(size)), 0.001)


@the_attacker("sends huge or deeply nested input")
@pytest.mark.parametrize("name", HOSTILE_ENVELOPES)
def test_the_time_to_refuse_an_envelope_grows_no_faster_than_its_size(name: str) -> None:
    assert growth(_decoded, HOSTILE_ENVELOPES[name], MAX_FILE_BYTES // 8) < 25


@the_attacker("sends huge or deeply nested input")
@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_the_time_to_look_into_a_text_grows_no_faster_than_its_size(name: str) -> None:
    assert growth(_looked_into, HOSTILE_TEXTS[name], 6_000) < 25


@the_attacker("sends huge or deeply nested input")
@pytest.mark.parametrize("name", HOSTILE_ENVELOPES)
def test_the_memory_to_refuse_an_envelope_is_a_few_times_its_size(name: str) -> None:
    raw = HOSTILE_ENVELOPES[name](MAX_FILE_BYTES - 64)
    tracemalloc.start()
    _decoded(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # Lines of a header cost more than their bytes, and a header is an eighth of a file.
    assert peak < 6 * MAX_FILE_BYTES + 60 * MAX_HEADER_BYTES


@the_attacker("sends huge or deeply nested input")
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
@pytest.mark.parametrize("command", [["check"], ["inspect"], ["protect"], ["scan"]], ids=" ".join)
def test_a_file_of_a_terabyte_is_refused_in_little_memory(
    command: list[str], folder: Path, key: str
) -> None:
    path = folder / "huge"
    path.write_bytes(MAGIC)
    with open(path, "r+b") as file:
        file.truncate(1 << 40)
    options = ["--key", key] if command == ["protect"] else []
    script = (
        "import resource, sys; from ksm_storage.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *command, str(path), *options],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    # A scan leaves out what is binary, and looks at no more than its beginning.
    expected = 0 if command == ["scan"] else StorageError.exit_code
    assert (done.returncode, done.stdout) == (expected, ""), done.stderr


@the_attacker("sends huge or deeply nested input")
def test_the_largest_file_of_many_recipients_is_bounded_by_their_number(sealed: Path) -> None:
    raw = sealed.read_bytes()
    start, end = raw.index(b"recipient: "), raw.index(b"message-id: ")
    groups = b"".join(
        raw[start:end].replace(b"app.key", b"%d.key" % number) for number in range(600)
    )

    with pytest.raises(EnvelopeError, match="too many"):
        decode(raw[:start] + groups + raw[end:])


@the_attacker("installs a distribution that offers a taken provider name")
@pytest.mark.parametrize("provider", ["aws-kms", "pkcs11"])
def test_a_distribution_that_takes_a_name_stops_it_and_is_named(
    provider: str, sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_attacker(provider, folder, monkeypatch)
    write_distribution(folder, "zzz-first", providers={provider: "first"})
    raw = sealed.read_bytes()
    sealed.write_bytes(raw.replace(b"recipient: key-file", b"recipient: " + provider.encode(), 1))

    with pytest.raises(PluginConflictError) as caught:
        ksm_storage.open_storage(sealed)

    assert "aaa-attacker and " in caught.value.message
    assert not (folder / "ran").exists()


@the_attacker("installs a distribution that offers a taken provider name")
def test_a_distribution_that_takes_the_name_of_a_built_in_provider_is_never_used(
    sealed: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant_attacker("key-file", folder, monkeypatch)

    assert ksm_storage.open_storage(sealed).get("hostname") is not None
    assert main(["providers"]) == 0
    assert "the one from aaa-attacker is never used" in capsys.readouterr().err
    assert not (folder / "ran").exists()


def plant_attacker(provider: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a distribution on the path that offers the provider and notes that it was imported."""
    source = f"open({str(folder / 'ran')!r}, 'w')\n"
    write_distribution(
        folder, "aaa-attacker", providers={provider: "attacker"}, modules={"attacker.py": source}
    )
    monkeypatch.syspath_prepend(str(folder))
