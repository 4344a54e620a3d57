"""Print how an open and a save grow with the configuration, its recipients and the pinned keys.

All of it is under key files, so that what is measured is this project's own work and the disk's.
A ``set`` stands beside a plain durable save: write a new file, flush it, rename it, flush the
folder. An open stands beside reading the file and one AES-GCM decryption of the same length.
``python -m benchmarks.growth`` takes both in turn, in one process.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import ksm_storage
from benchmarks.interleaved import NOTE, measure_first_output, python
from benchmarks.services.service import CONFIG, sealed
from benchmarks.tables import Kind, Row, Table, publish

SIZES = (1_000, 10_000, 100_000, 1_000_000)
RECIPIENTS = (1, 2, 4, 8, 16)
PINS = (1, 10)
RUNS = 41
_OURS = "ksm-storage"


def tables() -> Iterator[Table]:
    """Return the curves over size and recipients, and the table of pinned keys."""
    note = f"median of {RUNS} runs in turn"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = [_key_file(folder / f"{number}.key") for number in range(max(RECIPIENTS))]
        saves: list[Row] = []
        opens: list[Row] = []
        for size in SIZES:
            saves += _saves(folder, keys[0], size)
            opens += _opens(folder, keys[0], size)
        yield Table("growth", "set", "ms", saves, "plain durable save", note, "bytes")
        yield Table("growth", "open", "ms", opens, None, note, "bytes")
        rows = [row for count in RECIPIENTS for row in _recipients(folder, keys[:count])]
        yield Table("recipients", "open", "ms", rows, None, note, "recipients")
        yield _pins(folder, keys)


def _saves(folder: Path, key: str, size: int) -> Iterator[Row]:
    path = folder / f"set-{size}.json"
    content = _write_config(path, size)
    ksm_storage.protect(path, [key])
    storage = ksm_storage.open_storage(path)
    numbers = iter(range(RUNS + 1))

    yield from _compared(
        size,
        {
            "plain durable save": ("floor", lambda: _save(folder / f"plain-{size}.json", content)),
            _OURS: ("ours", lambda: storage.set("hostname", f"host{next(numbers)}")),
        },
    )


def _opens(folder: Path, key: str, size: int) -> Iterator[Row]:
    path, plain = folder / f"open-{size}.json", folder / f"open-{size}.bin"
    content = _write_config(path, size)
    ksm_storage.protect(path, [key])
    cipher, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    plain.write_bytes(cipher.encrypt(nonce, content, None))

    yield from _compared(
        size,
        {
            "read and AES-GCM": ("floor", lambda: cipher.decrypt(nonce, plain.read_bytes(), None)),
            _OURS: ("ours", lambda: ksm_storage.open_storage(path).get("hostname")),
        },
    )


def _recipients(folder: Path, keys: list[str]) -> Iterator[Row]:
    path, last = folder / f"{len(keys)}.json", folder / f"{len(keys)}-last.json"
    # For the others, the last of as many keys is the only one whose key file is still there.
    gone = [_key_file(folder / f"gone-{len(keys)}-{number}.key") for number in range(len(keys) - 1)]
    for file, under in ((path, keys), (last, [*gone, keys[-1]])):
        _write_config(file, 1_000)
        ksm_storage.protect(file, under)
    for uri in gone:
        Path(uri.partition("://")[2]).unlink()

    yield from _compared(
        len(keys),
        {
            "the first key opens": ("ours", lambda: ksm_storage.open_storage(path)),
            "only the last key opens": ("other", lambda: ksm_storage.open_storage(last)),
        },
    )


def _pins(folder: Path, keys: list[str]) -> Table:
    path = str(sealed(folder / "pinned.json", keys[-1]))
    programs = []
    for count in PINS:
        opening = f"ksm_storage.open_storage({path!r}, keys={keys[-count:]!r})"
        code = f"import ksm_storage; {opening}; print('open', flush=True)"
        programs.append(python(_pinned(count), "ours", code))
    rows = measure_first_output(programs)
    title = "Open under the last of some pinned keys"
    return Table("pins", title, "ms", rows, _pinned(PINS[0]), NOTE)


def _pinned(count: int) -> str:
    return f"{count} pinned key{'s' if count > 1 else ''}"


def _compared(at: int, works: Mapping[str, tuple[Kind, Callable[[], object]]]) -> Iterator[Row]:
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(RUNS + 1):
        for name, (_, work) in works.items():
            start = time.perf_counter()
            work()
            # The first of each warms the caches.
            if number:
                taken[name].append((time.perf_counter() - start) * 1000)
    for name, (kind, _) in works.items():
        yield Row(name, kind, statistics.median(taken[name]), at=at)


def _write_config(path: Path, size: int) -> bytes:
    config = {**CONFIG, "appKey": ""}
    config["appKey"] = "x" * (size - len(json.dumps(config)))
    content = json.dumps(config).encode()
    path.write_bytes(content)
    return content


def _save(path: Path, content: bytes) -> None:
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key_file(path: Path) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, os.urandom(32))
    finally:
        os.close(descriptor)
    return f"key-file://{path}"


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])
