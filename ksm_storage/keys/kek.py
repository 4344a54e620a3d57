"""Open KEKs and call them through a checked seam: nothing undocumented comes out of it."""

from __future__ import annotations

import contextlib
from _thread import allocate_lock
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from ..contract.key_wrapper import (
    DEK_BYTES,
    MAX_ALGORITHM,
    MAX_WRAPPED_DEK,
    Aad,
    KeyUri,
    KeyWrapper,
    ReadsOfficialFormat,
    WrappedDek,
    is_visible_ascii,
)
from ..errors import (
    DecryptionError,
    KsmStorageError,
    PluginContractError,
    PluginError,
    SettingsError,
)
from ..plugin_kit.exception_chain import call_of_a_plugin
from ..process import no_core_dumps
from .discovery import COMPUTED, LOCAL, Plugin, find_plugin
from .setting_sources import Arguments, gather_settings

_Result = TypeVar("_Result")
_Error = TypeVar("_Error", bound=KsmStorageError)


class Kek:
    """Wrap and unwrap DEKs under one KEK through its plugin.

    What the plugin returns is checked (types, lengths, that the DEK is encrypted), and only
    documented errors are raised. Use it as a context manager, or call :meth:`close`.
    """

    def __init__(
        self,
        uri: KeyUri,
        wrapper: KeyWrapper,
        *,
        plugin: Plugin | None = None,
        pool: KekPool | None = None,
    ) -> None:
        self.uri = uri
        self._wrapper = wrapper
        self._plugin = plugin
        # The pool that closes it, where others use it too.
        self._pool = pool

    @classmethod
    def open(
        cls, uri: KeyUri, arguments: Arguments | None = None, *, pool: KekPool | None = None
    ) -> Kek:
        """Open the KEK with the plugin of its provider; no network call is made.

        Raises:
            PluginError: No usable plugin serves the provider.
            SettingsError: A setting is missing or invalid.
        """
        plugin = find_plugin(uri.provider)
        settings = gather_settings(uri, plugin.options(), arguments)
        try:
            wrapper = plugin.open_key_wrapper(uri.key_id, settings)
        except KsmStorageError as exc:
            _complete(exc, uri, "open")
            raise
        return cls(uri, wrapper, plugin=plugin, pool=pool)

    @property
    def binds_aad(self) -> bool:
        """Tell whether the key service itself binds the AAD."""
        return self.call_plugin("open", lambda: self._wrapper.binds_aad) is True

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Wrap a 32-byte DEK with one call to the key service.

        Raises:
            ProviderError: The key service rejected the call or failed.
            PluginContractError: The plugin returned something invalid.
        """
        wrapped = self.call_plugin("wrap", lambda: self._wrapper.wrap(dek, aad=aad))
        return self._check_wrapped(wrapped, dek)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Unwrap a DEK.

        Raises:
            DecryptionError: Another KEK, another AAD, or altered ciphertext.
            ProviderError: The key service rejected the call or failed.
            PluginContractError: The plugin returned something invalid.
        """
        with no_core_dumps():
            dek = self.call_plugin("unwrap", lambda: self._wrapper.unwrap(wrapped, aad=aad))
        if not isinstance(dek, bytes):
            raise self.contract_error("unwrap", "did not return bytes")
        if len(dek) != DEK_BYTES:
            # RSA has no integrity: whoever has the public key can wrap any plaintext.
            raise self._error(
                DecryptionError,
                f"the unwrapped data key is {len(dek)} bytes, not {DEK_BYTES}",
                hint="ksm-storage did not wrap it, or the key service returned wrong data",
                operation="unwrap",
            )
        return dek

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt what one of Keeper's own storage packages encrypted under this KEK.

        Raises:
            PluginError: The plugin does not support that format.
            DecryptionError: Another KEK, or altered ciphertext.
            ProviderError: The key service rejected the call or failed.
        """
        wrapper = self._wrapper
        if not isinstance(wrapper, ReadsOfficialFormat):
            raise self._error(
                PluginError,
                f"the plugin for {self.uri.provider!r} cannot open a Keeper package's files",
                hint="give the key that the official package used: --from-key URI, or from_key=",
                operation=None,
            )
        with no_core_dumps():
            plain = self.call_plugin("decrypt", lambda: wrapper.decrypt_official(ciphertext))
        if not isinstance(plain, bytes):
            raise self.contract_error("decrypt", "did not return bytes")
        return plain

    def close(self) -> None:
        """Release what the key wrapper holds; a KEK of a pool stays open until the pool closes."""
        if self._pool is None:
            self.call_plugin("close", self._wrapper.close)

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
        fault = validate_wrapped_dek(wrapped, dek, provider=self.uri.provider)
        if fault is not None or not isinstance(wrapped, WrappedDek):
            raise self.contract_error("wrap", fault or "did not return a WrappedDek")
        # An envelope that names another key than the one given could not be opened by anyone who
        # pins the right one.
        if self._plugin and not self._plugin.key_covers(self.uri.key_id, wrapped.key_id):
            raise self.contract_error("wrap", "wrapped under a key other than the one given")
        return wrapped

    @property
    def wrapper(self) -> KeyWrapper:
        """The plugin's key wrapper, to check its abilities; call it through ``call_plugin``."""
        return self._wrapper

    def call_plugin(self, operation: str, call: Callable[[], _Result]) -> _Result:
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
            raise self.contract_error(operation, f"raised {type(exc).__name__}") from exc

    def contract_error(self, operation: str, what: str) -> PluginContractError:
        """Return the error for a plugin that breaks its contract."""
        return self._error(
            PluginContractError,
            f"the plugin for {self.uri.provider!r} {what}",
            hint="report this to the plugin's maintainers",
            operation=operation,
        )

    def _error(
        self, kind: type[_Error], message: str, *, hint: str, operation: str | None
    ) -> _Error:
        provider, key = self.uri.provider, str(self.uri)
        return kind(message, hint=hint, provider=provider, key=key, operation=operation)


class KekPool:
    """Keep the KEKs of key services open for many files, for all threads.

    A KEK of a key service is opened once, so that its client and connections are made once, and
    so is a key file, which is read at each use. Any other local key is opened for each file. Use
    it as a context manager; closing it closes its KEKs.
    """

    def __init__(self, arguments: Arguments | None = None) -> None:
        self._arguments = arguments
        self._keks: dict[KeyUri, Kek] = {}
        self._lock = allocate_lock()

    def open(self, uri: KeyUri) -> Kek:
        """Return the open KEK of this name; leaving its context does not close it.

        Raises:
            PluginError: No usable plugin serves the provider.
            SettingsError: A setting is missing or invalid.
        """
        if uri.provider in LOCAL and uri.provider not in COMPUTED:
            return Kek.open(uri, self._arguments)
        with self._lock:
            kek = self._keks.get(uri)
            if kek is None:
                kek = self._keks[uri] = Kek.open(uri, self._arguments, pool=self)
            return kek

    def __enter__(self) -> KekPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            for kek in self._keks.values():
                stack.callback(kek.call_plugin, "close", kek.wrapper.close)


def validate_wrapped_dek(wrapped: object, dek: bytes, *, provider: str) -> str | None:
    """Return what is wrong with a wrapped DEK that a plugin returned, None if nothing is."""
    if not isinstance(wrapped, WrappedDek):
        return "did not return a WrappedDek"
    ciphertext = wrapped.ciphertext
    if not isinstance(ciphertext, bytes) or not 1 <= len(ciphertext) <= MAX_WRAPPED_DEK:
        return f"returned a ciphertext that is not 1 to {MAX_WRAPPED_DEK} bytes"
    if dek in ciphertext:
        return "returned the DEK unencrypted"
    if not is_visible_ascii(wrapped.algorithm, max_length=MAX_ALGORITHM):
        return "returned an invalid algorithm name"
    try:
        KeyUri(provider, wrapped.key_id)
    except (SettingsError, TypeError):
        return "returned an invalid key id"
    return None


def _complete(exc: KsmStorageError, uri: KeyUri, operation: str) -> None:
    """Add what the seam knows and the plugin did not say."""
    exc.provider = exc.provider or uri.provider
    exc.key = exc.key or str(uri)
    exc.operation = exc.operation or operation
