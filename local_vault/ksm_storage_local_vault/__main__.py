"""Serve a vault for tests: ``python -m ksm_storage_local_vault DATA_FOLDER [PORT]``."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from pathlib import Path

from .data_folder import DataFolder
from .server.running import Listening, run_server


def main() -> None:
    """Print one line of JSON when connections are taken, then serve until SIGTERM."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    run_server(DataFolder(Path(sys.argv[1])), _announce, port=port)


def _announce(listening: Listening) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(listening)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
