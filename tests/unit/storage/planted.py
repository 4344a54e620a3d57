"""Plugins with a KEK in memory that count their calls or fail, laid out as installed ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from ksm_storage.config.document import Document, write_payload
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import encode
from ksm_storage.envelope.sealing import open_and_wrap_new_dek, seal
from ksm_storage.keys.kek import Kek
from ksm_storage.testing.distributions import write_distribution

SOURCE = '''
"""A plugin whose KEKs lie in this process and which does what a test tells it to."""

from __future__ import annotations

from ksm_storage.plugin import PermissionDeniedError, UnavailableError, hookimpl
from ksm_storage.testing.memory_kek import MemoryKek, MemoryKeyService

service = MemoryKeyService("one", "two", "wrap-only", "down")
calls = []


class CountingKek(MemoryKek):
    def __init__(self, key_id):
        super().__init__(key_id, service)
        self._id = key_id

    def wrap(self, dek, *, aad):
        calls.append(("wrap", self._id))
        return super().wrap(dek, aad=aad)

    def unwrap(self, wrapped, *, aad):
        calls.append(("unwrap", self._id))
        if self._id == "wrap-only":
            raise PermissionDeniedError("the caller may wrap and not unwrap")
        if self._id == "down":
            raise UnavailableError("the service is out of reach")
        return super().unwrap(wrapped, aad=aad)


@hookimpl
def key_wrapper_options():
    return []


@hookimpl
def open_key_wrapper(key_id, settings):
    return CountingKek(key_id)
'''


class Counted:
    """Hold the planted plugin of one test; its keys are ``counted://one`` and the like."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    @property
    def calls(self) -> list[tuple[str, str]]:
        """The calls so far: the operation and the key."""
        found: list[tuple[str, str]] = self._module.calls
        return found

    def fail_with(self, code: str | None) -> None:
        """Let every request fail with a code of the memory service, or none."""
        self._module.service.failing_with = code


def write_unproven(path: Path, keys: Sequence[str], config: Mapping[str, str]) -> None:
    """Seal a file under keys of which nobody has seen that they unwrap."""
    new = open_and_wrap_new_dek([KeyUri.parse(key) for key in keys], Kek.open)
    path.write_bytes(encode(seal(write_payload(Document.single(config)), new)))


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Install the plugin for this test alone."""
    name = "planted_counted_plugin"
    folder = tmp_path / "plugins"
    write_distribution(
        folder, "planted-counted", providers={"counted": name}, modules={f"{name}.py": SOURCE}
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = __import__(name)
    monkeypatch.setitem(sys.modules, name, module)
    return Counted(module)
