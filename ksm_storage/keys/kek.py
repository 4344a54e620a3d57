"""The checked seam around a key wrapper: nothing undocumented comes out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

from ..contract.aad import Aad
from ..contract.key_uri import KeyUri
from ..contract.key_wrapper import DEK_BYTES, KeyWrapper, ReadsOfficialFormat, WrappedDek
from ..core_dumps import no_core_dumps
from ..errors import DecryptionError, KsmStorageError, PluginContractError, PluginError
from ..plugin_kit.exception_chain import call_of_a_plugin
from .discovery import Plugin, find_plugin
from .known_providers import is_local
from .setting_sources import Arguments, gather_settings

_Result = TypeVar("_Result")
_Error = TypeVar("_Error", bound=KsmStorageError)


class Kek:
    """Wrap and unwrap DEKs under one KEK through its plugin.

    What the plugin returns is checked (types, lengths, the DEK not in the clear), and it raises
    documented errors only. Use it as a context manager, or call :meth:`close`.
    """

    # Whether others use it too: then it is closed by who shares it.
    _is_shared = False

    def __init__(self, uri: KeyUri, wrapper: KeyWrapper, *, plugin: Plugin | None = None) -> None:
        self.uri = uri
        self._wrapper = wrapper
        self._plugin = plugin

    @classmethod
    def open(cls, uri: KeyUri, arguments: Arguments | None = None) -> Kek:
        """Open the KEK with the plugin of its provider; calls no network.

        Raises:
            PluginError: No usable plugin serves the provider.
            SettingsError: A setting is missing or unusable.
        """
        if isinstance(arguments, SharedKeks) and not is_local(uri.provider):
            return arguments.shared(uri, cls._opened)
        return cls._opened(uri, arguments)

    @classmethod
    def _opened(cls, uri: KeyUri, arguments: Arguments | None) -> Kek:
        plugin = find_plugin(uri.provider)
        settings = gather_settings(uri, plugin.options(), arguments)
        try:
            return cls(uri, plugin.open_key_wrapper(uri.key_id, settings), plugin=plugin)
        except KsmStorageError as exc:
            _complete(exc, uri, "open")
            raise

    @property
    def binds_aad(self) -> bool:
        """Tell whether the key service itself binds the AAD."""
        return self.called("open", lambda: self._wrapper.binds_aad) is True

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Wrap a 32-byte DEK with one call to the key service.

        Raises:
            ProviderError: The key service refused or failed.
            PluginContractError: The plugin returned what no plugin may return.
        """
        wrapped = self.called("wrap", lambda: self._wrapper.wrap(dek, aad=aad))
        return self._check_wrapped(wrapped, dek)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Unwrap a DEK.

        Raises:
            DecryptionError: Another KEK, another AAD, or altered ciphertext.
            ProviderError: The key service refused or failed.
            PluginContractError: The plugin returned what no plugin may return.
        """
        with no_core_dumps():
            dek = self.called("unwrap", lambda: self._wrapper.unwrap(wrapped, aad=aad))
        if not isinstance(dek, bytes):
            raise self.broken("unwrap", "returned no bytes")
        if len(dek) != DEK_BYTES:
            # RSA has no integrity: whoever has the public key can wrap any plaintext.
            raise self._error(
                DecryptionError,
                f"the unwrapped DEK has {len(dek)} bytes instead of {DEK_BYTES}",
                hint="the wrapped DEK was not made by ksm-storage, or the key service failed",
                operation="unwrap",
            )
        return dek

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt what one of Keeper's own storage packages encrypted under this KEK.

        Raises:
            PluginError: The plugin cannot read that format.
            DecryptionError: Another KEK, or altered ciphertext.
            ProviderError: The key service refused or failed.
        """
        wrapper = self._wrapper
        if not isinstance(wrapper, ReadsOfficialFormat):
            raise self._error(
                PluginError,
                f"the plugin for {self.uri.provider!r} cannot read files of Keeper's own packages",
                hint="name the key that the official package used: --from-key URI, or from_key=",
                operation=None,
            )
        with no_core_dumps():
            plain = self.called("decrypt", lambda: wrapper.decrypt_official(ciphertext))
        if not isinstance(plain, bytes):
            raise self.broken("decrypt", "returned no bytes")
        return plain

    def close(self) -> None:
        """Release what the key wrapper holds, unless the KEK is shared."""
        if not self._is_shared:
            self.called("close", self._wrapper.close)

    def __enter__(self) -> Kek:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Kek {self.uri}>"

    def _check_wrapped(self, wrapped: object, dek: bytes) -> WrappedDek:
        # Loaded to wrap only: opening does without.
        from .wrapped_dek_check import fault_of

        fault = fault_of(wrapped, dek, provider=self.uri.provider)
        if fault is not None or not isinstance(wrapped, WrappedDek):
            raise self.broken("wrap", fault or "returned no wrapped DEK")
        # An envelope that names another key than the one asked for would be opened by nobody
        # who pins the right one.
        if self._plugin and not self._plugin.key_covers(self.uri.key_id, wrapped.key_id):
            raise self.broken("wrap", "wrapped under a key that was not asked for")
        return wrapped

    @property
    def wrapper(self) -> KeyWrapper:
        """The plugin's key wrapper, to see which abilities it has; call it through ``called``."""
        return self._wrapper

    def called(self, operation: str, call: Callable[[], _Result]) -> _Result:
        """Call into the plugin; only documented errors come out.

        Raises:
            KsmStorageError: What the plugin raised, completed with the key and the operation.
            PluginContractError: The plugin raised anything else.
        """
        try:
            with call_of_a_plugin():
                return call()
        except KsmStorageError as exc:
            _complete(exc, self.uri, operation)
            raise
        # The contract: nothing foreign passes this seam, not even a wish to end the process.
        except (Exception, SystemExit) as exc:
            raise self.broken(operation, f"raised {type(exc).__name__}") from exc

    def broken(self, operation: str, what: str) -> PluginContractError:
        """Return the error for a plugin that does not keep the contract."""
        return self._error(
            PluginContractError,
            f"the plugin for {self.uri.provider!r} {what}",
            hint="report it to the authors of the plugin",
            operation=operation,
        )

    def _error(
        self, kind: type[_Error], message: str, *, hint: str, operation: str | None
    ) -> _Error:
        provider, key = self.uri.provider, str(self.uri)
        return kind(message, hint=hint, provider=provider, key=key, operation=operation)


class SharedKeks(Mapping[str, Mapping[str, object]]):
    """Hold arguments for plugins, and with them the KEKs opened for many files.

    A KEK of a key service is opened once and used for each file, from several threads, so that
    its client and connections are made once. A local key is opened for each file as ever. Use it
    as a context manager in the place of the arguments.
    """

    def __init__(self, arguments: Arguments | None = None) -> None:
        self._arguments = arguments or {}
        self._keks: dict[KeyUri, Kek] = {}
        self._lock = threading.Lock()

    def shared(self, uri: KeyUri, open_kek: Callable[[KeyUri, Arguments], Kek]) -> Kek:
        """Return the one open KEK of this name."""
        with self._lock:
            kek = self._keks.get(uri)
            if kek is None:
                kek = self._keks[uri] = open_kek(uri, self._arguments)
                kek._is_shared = True
            return kek

    def __getitem__(self, name: str) -> Mapping[str, object]:
        return self._arguments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arguments)

    def __len__(self) -> int:
        return len(self._arguments)

    def __enter__(self) -> SharedKeks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for kek in self._keks.values():
            kek._is_shared = False
            kek.close()


def _complete(exc: KsmStorageError, uri: KeyUri, operation: str) -> None:
    """Add what the seam knows and the plugin left out."""
    exc.provider = exc.provider or uri.provider
    exc.key = exc.key or str(uri)
    exc.operation = exc.operation or operation
