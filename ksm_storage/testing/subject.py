"""What a plugin author tells the conformance suite about the plugin under test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from ..contract.key_wrapper import KeyUri
from ..errors import KsmStorageError
from ..keys.discovery import Plugin, find_plugin
from ..keys.setting_sources import FILE_VARIABLE, gather_settings
from ..plugin import Aad, KeyWrapper

AAD = Aad({"purpose": "ksm-storage", "envelope": "00112233445566778899aabbccddeeff", "env": "prod"})


@dataclass(frozen=True, slots=True)
class Fault:
    """Describe what the author can make the key service do, and the error that is documented.

    Attributes:
        error: The class, exactly, that ``wrap`` and ``unwrap`` raise meanwhile.
        operations: Which of them the fault concerns.
        settings: Settings that are part of the fault (a wrong PIN), on top of the usual ones.
        has_cause: False where the plugin finds it out itself, with no foreign error behind it.
    """

    error: type[KsmStorageError]
    operations: tuple[str, ...] = ("wrap", "unwrap")
    settings: Mapping[str, object] = field(default_factory=dict)
    has_cause: bool = True


class Opener(Protocol):
    """Open a key wrapper of a key id, with settings on top of the usual ones."""

    def __call__(self, key_id: str, more: Mapping[str, object] | None = None) -> KeyWrapper:
        """Return a key wrapper that is closed when the test ends."""
        ...


class Subject:
    """Supply the plugin under test: a provider and two keys are enough, the rest is optional."""

    provider: ClassVar[str]
    """The entry point's name; the distribution must be installed, or lie on ``sys.path``."""

    calls_per_wrap: ClassVar[int] = 1
    calls_per_unwrap: ClassVar[int] = 1
    """How many calls ``count_calls`` sees; 0 where the public key wraps locally."""

    deterministic: ClassVar[bool] = False
    """Whether the algorithm has no nonce by design (AES-KWP), so that two wraps are equal."""

    in_process: ClassVar[bool] = False
    """Whether the service under test lives in the tests' own process, where no other reaches it."""

    sdk_modules: ClassVar[Sequence[str]] = ()
    """Modules of the service's SDK, which the hooks must not import: ``("boto3", "botocore")``."""

    native_names: ClassVar[Mapping[str, str]] = {}
    """Names as the provider writes them -> the key ids that ``recognise_key`` returns."""

    documentation: ClassVar[Path | None] = None
    """The plugin's page, which has a row of a table for each option."""

    faults: ClassVar[Mapping[str, Fault]] = {}
    """Name of a fault that ``provoke`` can make -> what is documented for it."""

    @pytest.fixture
    def key_id(self) -> str:
        """Return the key id of KEK one. Required."""
        raise NotImplementedError("give the conformance suite a fixture 'key_id'")

    @pytest.fixture
    def other_key_id(self) -> str:
        """Return the key id of a second KEK that the same caller may use. Required."""
        raise NotImplementedError("give the conformance suite a fixture 'other_key_id'")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        """Return the settings under which both KEKs open."""
        return {}

    @pytest.fixture
    def alias(self) -> str | None:
        """Return another name of KEK one that wrapping resolves: an alias, a missing version."""
        return None

    @pytest.fixture
    def count_calls(self) -> Callable[[], int] | None:
        """Return a function that tells how many calls the key service has received so far."""
        return None

    @pytest.fixture
    def provoke(self) -> Callable[[str], AbstractContextManager[object]] | None:
        """Return a function from a fault's name to a context in which the service has it."""
        return None

    @pytest.fixture
    def reach(
        self, plugin: Plugin, settings: Mapping[str, object]
    ) -> Callable[[str], Mapping[str, object]] | None:
        """Return a function from a URL to settings under which the plugin asks that address.

        Without one of the author's, it is the option ``endpoint`` where the plugin has it.
        """
        if "endpoint" not in {option.name for option in plugin.options()}:
            return None
        return lambda url: {**settings, "endpoint": url}

    @pytest.fixture
    def service_url(self, settings: Mapping[str, object]) -> str | None:
        """Return the address of the key service, before which a relay counts connections."""
        endpoint = settings.get("endpoint")
        return None if endpoint is None else str(endpoint)

    @pytest.fixture
    def plugin(self) -> Plugin:
        """Return the plugin, found as the core finds it."""
        return find_plugin(self.provider)

    @pytest.fixture
    def open_wrapper(self, plugin: Plugin, settings: Mapping[str, object]) -> Iterator[Opener]:
        """Return a function that opens key wrappers through the hooks and checked settings."""
        with ExitStack() as opened:

            def open_wrapper(key_id: str, more: Mapping[str, object] | None = None) -> KeyWrapper:
                uri = KeyUri(plugin.provider, key_id)
                given = {plugin.provider: {**settings, **(more or {})}}
                gathered = gather_settings(uri, plugin.options(), given)
                wrapper = plugin.open_key_wrapper(key_id, gathered)
                opened.callback(wrapper.close)
                return wrapper

            yield open_wrapper

    @pytest.fixture
    def key_wrapper(self, open_wrapper: Opener, key_id: str) -> KeyWrapper:
        """Return a fresh key wrapper of KEK one."""
        return open_wrapper(key_id)

    @pytest.fixture
    def other_key_wrapper(self, open_wrapper: Opener, other_key_id: str) -> KeyWrapper:
        """Return a fresh key wrapper of the second KEK."""
        return open_wrapper(other_key_id)

    @pytest.fixture(autouse=True)
    def no_settings_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep the developer's own settings file from changing what is tested."""
        monkeypatch.setenv(FILE_VARIABLE, os.devnull)
