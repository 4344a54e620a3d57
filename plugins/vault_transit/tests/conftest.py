"""One real server for the session, and an environment without anything of the developer's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from .grants import Grant
from .openbao import OpenBao

_PREFIXES = ("VAULT_", "BAO_", "KSM_", "SSL_CERT_")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run a server in memory with a Transit engine, for all tests of the session."""
    with OpenBao(tmp_path_factory.mktemp("openbao")) as server:
        server.enable()
        yield server


@pytest.fixture
def root(bao: OpenBao) -> Mapping[str, object]:
    """Return the settings under which root calls the server."""
    return {"endpoint": bao.url, "token": bao.root}


@pytest.fixture
def grant(bao: OpenBao) -> Grant:
    """Return a new key with a policy that grants its use."""
    return Grant(bao)
