"""The program on the page of recovery keys opens what ksm-storage sealed, with nothing of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import shares_of, sheet, words_of
from tests.cli.command import key_file

PAGE = Path(__file__).parents[2] / "docs/plugins/recovery.md"
SECRET = bytes(range(32))
CONFIG = {"clientId": "CID", "hostname": "keepersecurity.eu"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    found = re.search(
        r"<!-- file: open_with_words.py -->\n```python\n(.*?)```", PAGE.read_text(), re.S
    )
    assert found is not None
    path = tmp_path / "open_with_words.py"
    path.write_text(found[1])
    return path


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Seal a file with a context, and rekey it, so that it has a lineage."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps(CONFIG))
    keys = [key_file(tmp_path), f"recovery://{RecoveryKey.of('office', SECRET).public_id}"]
    ksm_storage.protect(path, keys, context={"team": "payments", "env": "prod"})
    ksm_storage.rekey(path)
    return path


def run(program: Path, sealed: Path, typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Isolated, so that it finds nothing beside it; and nothing of ksm_storage is imported.
        [sys.executable, "-I", str(program), str(sealed)],
        input=typed,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_opens_a_file_of_several_generations_in_forty_lines(program: Path, sealed: Path) -> None:
    done = run(program, sealed, sheet(words_of(SECRET)))

    assert done.stderr == ""
    assert json.loads(done.stdout) == CONFIG
    assert len(program.read_text().splitlines()) <= 40
    assert "ksm_storage" not in program.read_text()


def test_it_opens_it_with_shares_by_the_line_on_the_page(program: Path, sealed: Path) -> None:
    line = "secret = shamir_mnemonic.combine_mnemonics([share, other])"
    own = 'secret = bytes(Mnemonic("english").to_entropy(words))'
    text = program.read_text()
    assert line in PAGE.read_text()
    assert own in text
    halves = 'import shamir_mnemonic\nshare, other = " ".join(words[:33]), " ".join(words[33:])\n'
    program.write_text(text.replace(own, halves + line))
    shares = shares_of(SECRET, needed=2, total=3)

    done = run(program, sealed, "\n".join([sheet(shares[2]), sheet(shares[0])]))

    assert json.loads(done.stdout) == CONFIG


def test_it_notices_an_altered_header(program: Path, sealed: Path) -> None:
    sealed.write_text(re.sub(r"\nrevision: \d+\n", "\nrevision: 99\n", sealed.read_text()))

    assert run(program, sealed, sheet(words_of(SECRET))).stdout == "altered header\n"


def test_other_words_open_nothing(program: Path, sealed: Path) -> None:
    done = run(program, sealed, sheet(words_of(bytes(32))))

    assert done.returncode != 0
    assert "CID" not in done.stdout + done.stderr
