"""Our vectors: what makes them, what our reader says to them and what the others say."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ksm_storage.envelope.codec import decode, encode, wrap_aad
from ksm_storage.envelope.opening import check_context, unlock
from ksm_storage.errors import DecryptionError, EnvelopeError, KsmStorageError
from tests.vectors.make_vectors import WITH_KEK, vector_files
from tests.vectors.vector_files import FOLDER, Vector, all_vectors, read_vectors, vector_paths

VECTORS = all_vectors()
READERS = FOLDER.parent / "second_reader"

# The message of our reader says what the category says, and no more after the unwrap.
REFUSALS: dict[str, tuple[type[KsmStorageError], str]] = {
    "not-an-envelope": (EnvelopeError, "not a ksm-storage envelope|the file is empty"),
    "unknown-version": (EnvelopeError, "unknown envelope version [0-9]+(\n|$)"),
    "unknown-suite": (EnvelopeError, "unknown envelope suite [0-9]+(\n|$)"),
    "too-large": (EnvelopeError, "larger than 2097152 bytes"),
    "malformed": (
        EnvelopeError,
        # Python 3.10 lets "==" through behind full base64, and the last check finds it.
        "invalid|out of order|printable|terminated|first line|duplicate|truncated|base64|length"
        "|canonical form",
    ),
    "non-canonical": (EnvelopeError, "canonical form"),
    "wrong-context": (DecryptionError, "has the context"),
    "wrong-dek": (DecryptionError, "does not open"),
    "altered-header": (DecryptionError, "does not open"),
    "altered-payload": (DecryptionError, "does not open"),
}


def test_the_vectors_are_those_that_their_generator_makes() -> None:
    made = vector_files()
    paths = {path.name for path in vector_paths()} | {WITH_KEK}

    assert {name: (FOLDER / name).read_text() for name in paths} == made


def test_every_vector_lies_in_the_file_of_its_expectation_under_a_name_of_its_own() -> None:
    for path in vector_paths():
        vectors = read_vectors(path)

        assert {vector.expect for vector in vectors} == {path.stem}
        assert len({vector.name for vector in vectors}) == len(vectors)


def test_there_is_a_vector_of_every_category() -> None:
    assert {vector.expect for vector in VECTORS} == {"success", *REFUSALS}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.expect == "success"], ids=str)
def test_a_sound_vector_opens_and_is_written_as_it_was(vector: Vector) -> None:
    envelope = decode(vector.raw)
    check_context(envelope, vector.context)

    assert unlock(envelope, vector.dek) == vector.payload
    # E18: what a transfer in text mode changed is undone.
    written = vector.raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    assert encode(envelope) == written.removesuffix(b"\n") + b"\n"
    assert (
        bytes(
            wrap_aad(
                envelope.header.envelope_id, envelope.header.generation, envelope.header.context
            )
        )
        == vector.wrap_aad
    )


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.expect != "success"], ids=str)
def test_an_unsound_vector_is_refused_as_it_expects(vector: Vector) -> None:
    kind, message = REFUSALS[vector.expect]

    with pytest.raises(kind, match=message) as caught:
        _opened(vector)

    assert type(caught.value) is kind
    assert caught.value.hint


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_reader_with_another_library_agrees(vector: Vector) -> None:
    pytest.importorskip("Crypto", reason="pycryptodome is not installed")
    from tests.second_reader.reader import Refused, opened

    context = None if vector.context is None else dict(vector.context)
    try:
        said, payload = "success", opened(vector.raw, vector.dek, context)
    except Refused as exc:
        said, payload = str(exc), None

    assert (said, payload) == (vector.expect, vector.payload)


def test_a_reader_in_another_language_agrees() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, str(READERS / "reader.mjs"), *map(str, vector_paths())]

    result = subprocess.run(command, capture_output=True, check=True, timeout=50)

    for path, answers in json.loads(result.stdout).items():
        vectors = read_vectors(Path(path))
        assert [_answered(*answer) for answer in answers] == [
            (v.expect, v.payload) for v in vectors
        ]


@pytest.mark.parametrize("name", ["reader.py", "reader.mjs"])
def test_a_second_reader_has_less_than_100_lines_and_nothing_of_ours(name: str) -> None:
    text = (READERS / name).read_text()

    assert len(text.splitlines()) < 100
    assert "import ksm_storage" not in text
    assert "from ksm_storage" not in text


def _opened(vector: Vector) -> bytes:
    envelope = decode(vector.raw)
    check_context(envelope, vector.context)
    return unlock(envelope, vector.dek)


def _answered(said: str, payload: str | None) -> tuple[str, bytes | None]:
    return said, None if payload is None else base64.b64decode(payload)
