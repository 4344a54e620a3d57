"""Programs for the official package end alike with nothing changed but their imports."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
from pathlib import Path

import pytest

from tests.drop_in.conftest import Place
from tests.drop_in.programs import all_programs
from tests.drop_in.substitution import substituted

PROGRAMS = all_programs()
# What ends differently, each with its reason; docs/sdk.md has the same list for users.
BY_DESIGN = {
    "copies: attributes as a dictionary": "vars() of a record lists what the program added",
    "writing: deleted what is not there": "a deletion that was refused is an error",
    "standalone: a configuration that is none": "theirs fails with a TypeError by mistake",
    "standalone: bound in memory": "justBound is True for the call that bound the device",
    "standalone: certificates that are not verified": "certificates are always verified",
    "standalone: certificates that the environment skips": "certificates are always verified",
    "standalone: a server that throttles with 429": "waited out; theirs fails",
}

Outcome = tuple[str, Exception | None]


@pytest.fixture(autouse=True)
def surroundings(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the official environment, and put back what programs change."""
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", place.vault.ca_file)
    monkeypatch.setattr(time, "sleep", time.sleep)
    logger = logging.getLogger("ksm")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "level", logger.level)


def outcome(text: str, place: Place, folder: Path) -> Outcome:
    """Run a program in a folder of its own; return what it printed and how it failed."""
    folder.mkdir()
    config = folder / "client-config.json"
    config.write_text(place.config)
    config.chmod(0o600)
    before, printed = dict(os.environ), io.StringIO()
    failure: Exception | None = None
    logging.getLogger("ksm").disabled = False
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        try:
            exec(compile(text, "program.py", "exec"), {"__name__": "__main__", **place.names()})
        except Exception as exc:
            failure = exc
    os.environ.clear()
    os.environ.update(before)
    return printed.getvalue(), failure


def ends_alike(theirs: Outcome, ours: Outcome) -> bool:
    """Tell whether both printed the same, and the official handler would catch our error."""
    if theirs[0] != ours[0] or (theirs[1] is None) != (ours[1] is None):
        return False
    return theirs[1] is None or isinstance(ours[1], type(theirs[1]))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in BY_DESIGN])
def test_a_program_ends_alike(name: str, place: Place, tmp_path: Path) -> None:
    theirs = outcome(PROGRAMS[name], place, tmp_path / "theirs")
    ours = outcome(substituted(PROGRAMS[name]), place, tmp_path / "ours")

    assert ends_alike(theirs, ours), f"\n{theirs!r}\n{ours!r}"


@pytest.mark.parametrize("name", BY_DESIGN)
def test_what_differs_by_design_does_differ(name: str, place: Place, tmp_path: Path) -> None:
    theirs = outcome(PROGRAMS[name], place, tmp_path / "theirs")
    ours = outcome(substituted(PROGRAMS[name]), place, tmp_path / "ours")

    assert not ends_alike(theirs, ours)


def test_there_are_enough_programs_and_few_differ() -> None:
    assert len(PROGRAMS) - len(BY_DESIGN) >= 120
    assert len(BY_DESIGN) <= 20
    assert set(BY_DESIGN) <= set(PROGRAMS)


def test_a_substituted_program_names_the_official_package_nowhere() -> None:
    changed = {name: substituted(text) for name, text in PROGRAMS.items()}
    left = [name for name, text in changed.items() if "keeper_secrets_manager_core" in text]

    assert left == []


def test_only_imports_are_substituted() -> None:
    text = "from keeper_secrets_manager_core import (\n    SecretsManager,\n)\nprint('keeper')\n"

    changed = substituted(text).splitlines()

    assert changed == ["from ksm_storage.engine import SecretsManager", "", "", "print('keeper')"]
