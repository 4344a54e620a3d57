"""Ask the credentials for a token: bounded in time, one thread at a time, errors translated."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from ksm_storage.plugin import AuthenticationError

from .client_failures import repeats_a_reply, without_bodies
from .deadline import deadline_of, seconds_left
from .entra_errors import CREDENTIAL_FAILURES, translated_credential_failure
from .sdk_logs import silence_new_loggers


class TokenSource:
    """A credential for the Azure client that answers, or fails, within so many seconds."""

    def __init__(self, make: Callable[[], Any], *, kind: str, seconds: float) -> None:
        self._make = make
        self._kind = kind
        self._seconds = seconds
        self._lock = threading.Lock()
        self._credential: Any = None
        self._last: Any = None

    @property
    def last_token(self) -> str | None:
        """The token that was handed out last, a secret."""
        return None if self._last is None else str(self._last.token)

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """Return a token; the Azure client calls this.

        Raises:
            KsmStorageError: The credentials are missing, refused, or took too long.
        """
        tenant = (options or {}).get("tenant_id")
        # Together with the credential's own cache: threads that start together make one request.
        # Who waits here waits no longer than the bound of the one that asks, and its own has
        # passed by then.
        with deadline_of(self._seconds), self._lock:
            self._last = self._bounded(lambda: self._ask(scopes, options, tenant))
            return self._last

    def _ask(self, scopes: tuple[str, ...], options: Any, tenant: str | None) -> Any:
        try:
            if self._credential is None:
                self._credential = self._make()
                silence_new_loggers()
            return self._credential.get_token_info(*scopes, options=options)
        except CREDENTIAL_FAILURES as exc:
            told = translated_credential_failure(exc, kind=self._kind, tenant=tenant)
            cause = None if repeats_a_reply(exc) else without_bodies(exc)
        # Outside the except block, so that half a token does not stay on __context__.
        raise told from cause

    def _bounded(self, ask: Callable[[], Any]) -> Any:
        # A thread, because neither a name that does not resolve nor a command that hangs can be
        # interrupted; it is a daemon, so that it does not keep the process from ending.
        outcome: list[Any] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(ask())
            # Handed on to the thread that waits.
            except BaseException as exc:  # noqa: BLE001
                failure.append(exc)

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(run,), daemon=True)
        thread.start()
        thread.join(max(0.0, seconds_left()))
        if failure:
            raise failure[0]
        if not outcome:
            raise self._too_slow() from TimeoutError("the thread that asks has not ended")
        return outcome[0]

    def _too_slow(self) -> AuthenticationError:
        return AuthenticationError(
            "no Azure credentials were obtained in time",
            hint="choose one kind with the option 'credential', or raise 'credential_timeout' "
            f"({self._seconds:g} seconds) or 'deadline'",
        )
