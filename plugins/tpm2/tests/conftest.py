"""One software TPM for the session, cleared of what a test left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from .software_tpm import SoftwareTpm


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(("TPM2TOOLS_", "KSM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True)
def _no_refused_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    from ksm_storage_tpm2 import key_wrapper

    from ksm_storage.plugin import RefusedPins

    monkeypatch.setattr(key_wrapper, "_refused", RefusedPins())


@pytest.fixture(scope="session")
def software_tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    """Run a TPM for all tests of the session."""
    pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is not installed", exc_type=ImportError)
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed")
    # Before the library has something to say.
    os.environ.setdefault("TSS2_LOG", "all+NONE")
    with SoftwareTpm(tmp_path_factory.mktemp("tpm")) as running:
        yield running


@pytest.fixture
def tpm(software_tpm: SoftwareTpm) -> SoftwareTpm:
    """Give the test a TPM whose debug PCR has its first value, and that counted no wrong PIN."""
    software_tpm.reset()
    software_tpm.unlock()
    return software_tpm
