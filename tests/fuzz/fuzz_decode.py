"""Fuzz the parsers, guided by coverage: python tests/fuzz/fuzz_decode.py [libFuzzer's options]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["ksm_storage"]):
    from tests.fuzz.parser_properties import check_parsers
    from tests.fuzz.seeds import MAX_SEED, write_seeds


def main() -> None:
    """Run until a time or number given in the options; a finding ends the process with 1."""
    with tempfile.TemporaryDirectory() as corpus:
        write_seeds(Path(corpus))
        options = [f"-max_len={MAX_SEED}", "-print_final_stats=1", *sys.argv[1:], corpus]
        atheris.Setup([sys.argv[0], *options], check_parsers)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
