"""The fuzz target runs for a bounded time, and would notice a parser that misbehaves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ksm_storage.envelope.codec import MAGIC
from ksm_storage.envelope.model import Envelope
from tests.fuzz import parser_properties
from tests.fuzz.parser_properties import BrokenPropertyError, check_parsers
from tests.fuzz.seeds import seeds
from tests.vectors.draft import Draft

TARGET = Path(__file__).with_name("fuzz_decode.py")
SECONDS = int(os.environ.get("KSM_STORAGE_FUZZ_SECONDS", "5"))


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_a_bounded_time_of_fuzzing_finds_nothing(tmp_path: Path) -> None:
    options = [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"]

    result = subprocess.run(
        [sys.executable, str(TARGET), *options],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS + 50,
        check=False,
    )

    assert result.returncode == 0, result.stderr[-3000:] + _findings(tmp_path)
    runs = re.search(r"stat::number_of_executed_units: (\d+)", result.stderr)
    assert runs is not None
    assert int(runs[1]) > 100 * SECONDS


def test_the_seeds_hold_every_property() -> None:
    for raw in seeds():
        check_parsers(raw)


def test_a_parser_that_raises_what_it_does_not_document_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def careless(raw: bytes) -> Envelope:
        raise ValueError("not documented")

    monkeypatch.setattr(parser_properties, "decode", careless)

    with pytest.raises(ValueError, match="not documented"):
        check_parsers(MAGIC)


def test_a_parser_that_accepts_what_it_writes_otherwise_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = Draft().to_bytes()
    monkeypatch.setattr(parser_properties, "encode", lambda _: raw + b"x\n")

    with pytest.raises(BrokenPropertyError, match="written as it was"):
        check_parsers(raw)


def _findings(folder: Path) -> str:
    return "".join(f"\n{path.name}: {path.read_bytes()!r}" for path in folder.iterdir())
