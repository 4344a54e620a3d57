"""The plugin keeps its contract, over the real server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    KeyStateError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance

from .openbao import OpenBao


class _Transit(KeyWrapperConformance):
    provider = "vault-transit"
    sdk_modules = ("http.client", "ssl")
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "vault-transit.md"
    options: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture
    def settings(self, root: Mapping[str, object]) -> Mapping[str, object]:
        return root

    @pytest.fixture
    def key_id(self, bao: OpenBao) -> str:
        return f"transit/{bao.new_key(options=self.options)}"

    @pytest.fixture
    def other_key_id(self, bao: OpenBao) -> str:
        return f"transit/{bao.new_key(options=self.options)}"

    @pytest.fixture
    def count_calls(self, bao: OpenBao) -> Callable[[], int]:
        return lambda: bao.requests("transit/", "auth/", "sys/wrapping/")


class TestAes256(_Transit):
    """The default type of key, as root, with every fault that the server can be put into."""

    faults: ClassVar = {
        "soft-deleted": Fault(KeyStateError),
        "throttled": Fault(ThrottledError),
        "sealed": Fault(UnavailableError),
        "unreachable": Fault(UnavailableError, settings={"endpoint": "http://127.0.0.1:9"}),
        "unknown token": Fault(AuthenticationError, settings={"token": "s.unknown"}),
    }

    @pytest.fixture
    def provoke(self, bao: OpenBao, key_id: str) -> Callable[[str], AbstractContextManager[object]]:
        return lambda fault: _provoked(fault, bao, key_id.removeprefix("transit/"))


class TestChaCha20(_Transit):
    """The other cipher."""

    options: ClassVar = {"type": "chacha20-poly1305"}


class TestXChaCha20(_Transit):
    """A cipher with a longer nonce."""

    options: ClassVar = {"type": "xchacha20-poly1305"}


@contextmanager
def _provoked(fault: str, bao: OpenBao, name: str) -> Iterator[None]:
    key = f"transit/keys/{name}"
    if fault == "soft-deleted":
        bao.ask("DELETE", f"{key}/soft-delete")
        yield
        bao.ask("POST", f"{key}/soft-delete-restore")
    elif fault == "throttled":
        quota = f"sys/quotas/rate-limit/{secrets.token_hex(4)}"
        bao.ask("POST", quota, {"path": "transit", "rate": 0.0001, "interval": "10000s"})
        bao.ask("GET", key)
        yield
        bao.ask("DELETE", quota)
    elif fault == "sealed":
        bao.ask("POST", "sys/seal")
        yield
        bao.unseal()
    else:
        yield
