"""Compare the engine with the official package on answers of one record to 50,000.

Run ``python -m benchmarks.engine [RECORDS ...]``. Both read the same recorded answer, which their
custom post function hands to them, each time in a fresh process, one after the other. A server
that filters answers with the one record that is asked for, however many there are; one that does
not answers with all of them, and so do the questions by title and for all fields.
The same lines of code run for both. Time is the processor's, from the construction of the manager
to the value, without imports: a neighbour on the machine disturbs it less than the clock. Memory
is the peak of the process itself.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.interleaved import child_environment, own_peak_mb
from benchmarks.tables import Kind, Row, Table, publish, words
from ksm_storage.network import CA_VARIABLES
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_base64
from ksm_storage.wire.keys import new_private_key, private_key_to_text

ENGINES: dict[str, tuple[str, Kind]] = {
    "official": ("official SecretsManager", "official"),
    "ours": ("ksm-storage", "ours"),
}
BY_UID, BY_TITLE, ALL_FIELDS = "one field, by uid", "one field, by title", "all fields"
TASKS = (BY_UID, BY_TITLE, ALL_FIELDS)
FILTERED = f"{BY_UID}, filtered by the server"
FOLDERS = 20
KEY = bytes(range(32))
# Records, and how often both are run: few records take so little that noise is most of it.
SIZES = {1: 61, 10: 41, 100: 15, 1_000: 9, 10_000: 7, 50_000: 3}


def main() -> None:
    """Record answers, measure both in turns and print the tables."""
    given = words(sys.argv[1:])
    if given[:1] == ["child"]:
        child(given[1], given[2], Path(given[3]))
        return
    publish(tables([int(each) for each in given] or list(SIZES)), sys.argv[1:])


def tables(sizes: Sequence[int]) -> Iterator[Table]:
    """Return the curve of each task, and the table of the answer that is filtered."""
    curves: dict[str, list[Row]] = {task: [] for task in TASKS}
    for records in sizes:
        with tempfile.TemporaryDirectory() as folder:
            record_answer(Path(folder), records)
            found = measure(Path(folder), TASKS, SIZES.get(records, 7))
        for task, rows in curves.items():
            rows += [_row(engine, found[task, engine], at=records) for engine in ENGINES]
    beside = ENGINES["official"][0]
    for task, rows in curves.items():
        title = f"Engine: {task}"
        note = "median of interleaved runs"
        yield Table("engine", title, "ms processor", rows, beside, note, "records")
    with tempfile.TemporaryDirectory() as folder:
        record_answer(Path(folder), 1)
        found = measure(Path(folder), [FILTERED], SIZES[1])
    rows = [_row(engine, found[FILTERED, engine], at=None) for engine in ENGINES]
    yield Table("engine", f"Engine: {FILTERED}", "ms processor", rows, beside, note)


def record_answer(place: Path, count: int) -> int:
    """Write configuration, encrypted answer and expected values; return the answer's size."""
    number_of_folders = min(FOLDERS, max(1, count // 4))
    app_key, folder_keys = os.urandom(32), [os.urandom(32) for _ in range(number_of_folders)]
    alone = count // 10
    folders: list[dict[str, Any]] = [
        {
            "folderUid": new_uid(),
            "folderKey": to_base64(gcm_seal(app_key, key)),
            "records": [sealed_record(n, key) for n in range(alone + at, count, number_of_folders)],
        }
        for at, key in enumerate(folder_keys)
    ]
    records = [sealed_record(number, app_key) for number in range(alone)]
    inside = folders[number_of_folders // 2]["records"]
    wanted = inside[len(inside) // 2]
    answer = json.dumps({"records": records, "folders": folders}).encode()
    config = {
        "hostname": "localhost",
        "clientId": to_base64(os.urandom(64)),
        "privateKey": private_key_to_text(new_private_key()),
        "appKey": to_base64(app_key),
        "serverPublicKeyId": "10",
    }
    title = f"Record {wanted['revision']}"
    (place / "config.json").write_text(json.dumps(config))
    (place / "wanted.json").write_text(json.dumps([wanted["recordUid"], title]))
    (place / "answer").write_bytes(gcm_seal(KEY, answer))
    return len(answer)


def sealed_record(number: int, parent_key: bytes) -> dict[str, Any]:
    """Return a login record with custom fields under a key of its own."""
    key = os.urandom(32)
    content = {
        "title": f"Record {number}",
        "type": "login",
        "fields": [
            {"type": "login", "value": [f"user{number}@example.com"]},
            {"type": "password", "value": [f"{number:016x}"]},
            {"type": "url", "value": ["https://app.example.com/login"]},
            {"type": "oneTimeCode", "value": []},
            {"type": "fileRef", "value": []},
        ],
        "custom": [
            {"type": "text", "label": "environment", "value": ["production"]},
            {"type": "multiline", "label": "certificate", "value": ["MIIB" * 40]},
        ],
        "notes": "owned by the platform team",
    }
    return {
        "recordUid": new_uid(),
        "recordKey": to_base64(gcm_seal(parent_key, key)),
        "data": to_base64(gcm_seal(key, json.dumps(content).encode())),
        "revision": number,
        "isEditable": True,
        "files": [],
        "innerFolderUid": None,
    }


def _environment() -> dict[str, str]:
    # Nothing is sent; a variable for authorities would be read by one of the two only.
    variables = child_environment()
    return {name: value for name, value in variables.items() if name not in CA_VARIABLES}


def measure(
    place: Path, tasks: Sequence[str], rounds: int
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return seconds and peak megabytes of every round, by task and engine."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for task in tasks:
            for engine in ENGINES:
                command = [sys.executable, __file__, "child", engine, task, str(place)]
                output = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=_environment()
                ).stdout
                seconds, megabytes = map(float, output.split()[:2])
                found.setdefault((task, engine), []).append((seconds, megabytes))
    return found


def _row(engine: str, runs: list[tuple[float, float]], *, at: int | None) -> Row:
    seconds, megabytes = (statistics.median(column) for column in zip(*runs, strict=True))
    name, kind = ENGINES[engine]
    return Row(name, kind, seconds * 1000, {"MB peak": f"{megabytes:.0f}"}, at)


def child(engine: str, task: str, place: Path) -> None:
    """Do one task and print how long it took, the peak of memory and the value."""
    answer = (place / "answer").read_bytes()
    uid, title = json.loads((place / "wanted.json").read_text())
    make_manager = maker_of(engine, (place / "config.json").read_text(), answer)
    # cryptography imports this with the first signature, the official package by itself.
    importlib.import_module("cryptography.hazmat.backends.openssl.backend")
    start = time.process_time()
    manager = make_manager()
    if task in (BY_UID, FILTERED):
        found = [record for record in manager.get_secrets([uid]) if record.uid == uid]
        value = found[0].field("password", single=True)
    elif task == BY_TITLE:
        value = manager.get_secret_by_title(title).field("password", single=True)
    else:
        value = sum(read_all(record) for record in manager.get_secrets())
    seconds = time.process_time() - start
    print(seconds, own_peak_mb(), value)


def read_all(record: Any) -> int:
    """Return how many characters title, notes and all values of a record have."""
    content = record.dict
    values = [field["value"] for field in [*content["fields"], *content.get("custom", [])]]
    return len(record.title) + len(content.get("notes", "")) + sum(len(v[0]) for v in values if v)


def maker_of(engine: str, config: str, answer: bytes) -> Callable[[], Any]:
    """Return what makes a manager over a configuration in memory, answered with the recording."""
    if engine == "ours":
        from ksm_storage.engine import InMemoryKeyValueStorage, KSMHttpResponse, SecretsManager

        post = post_with(KSMHttpResponse, answer)
        return lambda: SecretsManager(
            config=InMemoryKeyValueStorage(json.loads(config)), custom_post_function=post
        )
    from keeper_secrets_manager_core import SecretsManager as Official
    from keeper_secrets_manager_core.dto.payload import KSMHttpResponse as OfficialResponse
    from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as OfficialInMemory

    post = post_with(OfficialResponse, answer)
    return lambda: Official(config=OfficialInMemory(config), custom_post_function=post)


def post_with(response: Any, answer: bytes) -> Any:
    """Return a post function that answers with the recording and its key."""

    def post(_url: str, transmission_key: Any, *_rest: object) -> Any:
        transmission_key.key = KEY
        return response(200, answer)

    return post


if __name__ == "__main__":
    main()
