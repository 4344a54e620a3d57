"""Tokens of a real library, and an environment without anything of the developer's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest
from ksm_storage_entrust_hsm import cryptoki, session

from ksm_storage.keys.setting_sources import FILE_VARIABLE
from ksm_storage.plugin import RefusedPins

from .interposer import Interposer
from .soft_token import LIBRARY, PIN, SoftToken


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("KSM_", "CKNFAST_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(FILE_VARIABLE, os.devnull)
    # Each test is the start of a process, as far as PINs and sessions are concerned.
    monkeypatch.setattr(session, "_refused", RefusedPins())
    session.sessions.forget()


@pytest.fixture(scope="session")
def soft_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    """Set up tokens; the library reads its configuration once in a process."""
    if LIBRARY is None:
        pytest.skip("SoftHSM 2 is not installed: scripts/system-packages does it")
    before = os.environ.get("SOFTHSM2_CONF")
    yield SoftToken.create(tmp_path_factory.mktemp("softhsm"))
    os.environ.pop("SOFTHSM2_CONF")
    if before is not None:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture
def settings(soft_token: SoftToken) -> Mapping[str, object]:
    """Return the settings under which the keys open."""
    return {"module": soft_token.library, "pin": PIN}


@pytest.fixture
def interposer(soft_token: SoftToken, monkeypatch: pytest.MonkeyPatch) -> Interposer:
    """Stand between the plugin and the library."""
    standing, real = Interposer(), cryptoki.function_list
    monkeypatch.setattr(cryptoki, "function_list", lambda path: standing.interposed(real(path)))
    return standing
