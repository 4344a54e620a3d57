"""The client of a key service: one per process, silent logs, one deadline for a whole call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import logging

_MAX_CLEANUP_SECONDS = 0.2

_Client = TypeVar("_Client")
_Result = TypeVar("_Result")

_current: ContextVar[Deadline | None] = ContextVar("ksm_storage_deadline", default=None)
_quiet: ContextVar[tuple[str, ...]] = ContextVar("ksm_storage_quiet_logs", default=())


class ServiceClient(Generic[_Client]):
    """Hold the one client of a key wrapper; safe across threads and across a fork.

    Args:
        create: Makes the client, its credentials included. It runs inside the deadline of the
            call that needs it first.
        close: Closes a client, if there is something to close. The client of a parent process is
            never closed: that would end the parent's connections.
        deadline: Seconds for a call: credentials, attempts, pauses and all.
        loggers: The SDK's loggers. At DEBUG they print whole requests and replies, the data key
            among them.
        load: Imports the SDK; before the deadline begins, and with the garbage collector
            paused. Only loggers that exist by then are silenced.
        direct_seconds: How long :meth:`run_first` may try without the client; None for not at all.
    """

    def __init__(
        self,
        create: Callable[[], _Client],
        *,
        deadline: float,
        close: Callable[[_Client], object] | None = None,
        loggers: Sequence[str] = (),
        load: Callable[[], object] | None = None,
        direct_seconds: float | None = None,
    ) -> None:
        self._create = create
        self._close = close
        self._deadline = deadline
        self._loggers = tuple(loggers)
        self._load = load
        self._direct_seconds = direct_seconds
        # By process: a connection shared with a parent would mix up whose reply is whose, and a
        # lock that another thread of the parent held at the fork is never released in the child.
        self._locks: dict[int, threading.Lock] = {}
        self._clients: dict[int, _Client] = {}

    def run(self, send: Callable[[_Client], _Result]) -> _Result:
        """Return what ``send`` returns for the ready client, within the deadline.

        Raises:
            DeadlinePassedError: The deadline passed; whatever still runs is left behind.
            BaseException: What making the client or ``send`` raised.
        """
        if self._load is not None:
            from ..process import gc_pause

            with gc_pause(), uncounted():
                self._load()
            self._load = None
        with deadline_of(self._deadline), quiet_logs(*self._loggers):
            return within_deadline(lambda: send(self._ready()))

    def run_first(
        self, direct: Callable[[], _Result], through_client: Callable[[], _Result]
    ) -> _Result:
        """Return what the direct call returns or, if that fails in any way, what the client does.

        So the client's errors and repeats are the only ones that a user sees. Only the first call
        goes directly, and only while there is no client: a client keeps its connection. The direct
        call has at most half of the deadline, which bounds both.

        Raises:
            BaseException: What the call through the client raised; it does not name the direct one.
        """
        seconds, self._direct_seconds = self._direct_seconds, None
        with deadline_of(self._deadline):
            if seconds is not None and os.getpid() not in self._clients:
                try:
                    with deadline_of(min(seconds, self._deadline / 2)):
                        return within_deadline(direct)
                except Exception:  # noqa: BLE001, S110  # the client asks again, and reports
                    pass
            return through_client()

    def close(self) -> None:
        """Close the client of this process; the next call makes another."""
        # Without the lock: a credential helper that hangs must not keep a program from closing.
        client = self._clients.pop(os.getpid(), None)
        if client is not None and self._close is not None:
            self._close(client)

    def _ready(self) -> _Client:
        process = os.getpid()
        lock = self._locks.setdefault(process, threading.Lock())
        with lock_held(lock):
            if process not in self._clients:
                self._clients[process] = self._create()
            return self._clients[process]


class NotDirectError(Exception):
    """Report why the vendor's client must send a call; the text is for ``doctor``, no secret."""


def require_direct(prefix: str, known: str, *, allowed: bool, ignoring: str | None = None) -> None:
    """Refuse a direct call that the settings or the environment forbid.

    Args:
        prefix: How the variables that the vendor's client reads begin.
        known: What follows it in those that a direct call understands, or that change nothing;
            separated by blanks.
        allowed: Whether the settings allow a direct call.
        ignoring: How variables begin that change nothing here.

    Raises:
        NotDirectError: Not allowed, or another variable is set.
    """
    others = [
        name
        for name in os.environ
        if name.startswith(prefix)
        and name.removeprefix(prefix) not in known.split()
        and not (ignoring is not None and name.startswith(ignoring))
    ]
    if others or not allowed:
        raise NotDirectError(f"{min(others)} is set" if others else "by the settings")


def require_texts(*values: object) -> None:
    """Refuse anything but the printable text that a header can carry, such as credentials.

    Raises:
        NotDirectError: A value is missing, empty or something else; the client reports it.
    """
    if not all(isinstance(v, str) and v and v.isascii() and v.isprintable() for v in values):
        raise NotDirectError("a credential or a part of the reply is missing or malformed")


def text_member(content: Mapping[str, Any], name: str) -> str:
    """Return a member of a JSON object, such as a token.

    Raises:
        NotDirectError: As :func:`require_texts` does.
    """
    require_texts(content.get(name))
    return str(content[name])


def first_unwrap(credentials: Callable[[], str], *, client: str) -> str:
    """Say who sends the first unwrap of a process, for ``doctor``.

    Args:
        credentials: Returns what a direct call would sign with, or raises NotDirectError.
        client: The vendor's client, as in ``the AWS client``.
    """
    try:
        return f"direct, with {credentials()}"
    except NotDirectError as exc:
        return f"through {client}: {exc}"
    except Exception:  # noqa: BLE001  # a file that cannot be parsed: the client reports it
        return f"through {client}"


@contextmanager
def uncounted() -> Iterator[None]:
    """Stop the countdown of the deadline while a client is imported."""
    deadline = current_deadline()
    with nullcontext() if deadline is None else deadline.paused():
        yield


@contextmanager
def quiet_logs(*prefixes: str) -> Iterator[None]:
    """Drop all records of the named loggers and their children.

    Only the calling thread (or task) is silenced, and only inside the block: the application's
    own use of the same SDK logs as before. Cloud SDKs print request and reply bodies at DEBUG,
    the plaintext DEK among them, and at WARNING tracebacks that quote credential files and the
    output of helpers, so there is no level at which their logs are safe here. What they warn
    of, our error says.
    """
    # A filter on a parent logger is not asked for its children's records, so each logger that
    # exists by now gets the filter; adding the same object twice does nothing.
    if prefixes:
        _attach(prefixes)
    token = _quiet.set(_quiet.get() + prefixes)
    try:
        yield
    finally:
        _quiet.reset(token)


def _attach(prefixes: tuple[str, ...]) -> None:
    # Here and below: a plugin without an SDK must not pay for loading the logging package.
    import logging

    for name in [*prefixes, *logging.root.manager.loggerDict]:
        if _matches(name, prefixes):
            logging.getLogger(name).addFilter(_passes)
    # A logger that the SDK makes inside the block has no filter yet: what it sends up is stopped
    # at the handlers above it.
    for prefix in prefixes:
        logger: logging.Logger | None = logging.getLogger(prefix)
        while logger is not None:
            for handler in logger.handlers:
                handler.addFilter(_passes)
            logger = logger.parent


def _passes(record: logging.LogRecord) -> bool:
    return not _matches(record.name, _quiet.get())


def _matches(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


class DeadlinePassedError(TimeoutError):
    """Report that the deadline of a call has passed, or leaves no time for what is next."""


class Deadline:
    """Count down from now; safe across threads."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._asked_since: float | None = None

    @property
    def remaining(self) -> float:
        """Seconds left, 0 at the end; the time in which a person types does not count."""
        now = time.monotonic() if self._asked_since is None else self._asked_since
        return max(0.0, self._ends_at - now)

    def allows(self, seconds: float) -> bool:
        """Tell whether this much time is left, as for a pause and its attempt."""
        return seconds <= self.remaining

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the countdown while a person is asked."""
        self._asked_since = time.monotonic()
        try:
            yield
        finally:
            self._ends_at += time.monotonic() - self._asked_since
            self._asked_since = None


@contextmanager
def deadline_of(seconds: float) -> Iterator[Deadline]:
    """Count down this many seconds; an earlier deadline around this one stays in force."""
    outer = _current.get()
    sooner = outer is not None and outer.remaining <= seconds
    deadline = outer if outer is not None and sooner else Deadline(seconds)
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


def current_deadline() -> Deadline | None:
    """Return the deadline of the call that this thread works for, None outside of one."""
    return _current.get()


def seconds_left() -> float:
    """Return the seconds until the deadline of the call: infinite outside of one.

    Raises:
        DeadlinePassedError: None are left.
    """
    deadline = _current.get()
    if deadline is None:
        return float("inf")
    left = deadline.remaining
    if left <= 0:
        raise DeadlinePassedError
    return left


@contextmanager
def lock_held(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock for the block; a thread that was left behind may keep it past the deadline.

    Raises:
        DeadlinePassedError: It did not become free in time.
    """
    if not lock.acquire(timeout=min(seconds_left(), threading.TIMEOUT_MAX)):
        raise DeadlinePassedError
    try:
        yield
    finally:
        lock.release()


def within_deadline(action: Callable[[], _Result]) -> _Result:
    """Return what the action returns, or give up when the deadline passes.

    SDKs bound each attempt, some of them; none bounds a name that does not resolve, a helper
    that hangs or a reply that trickles in. The action runs in a daemon thread, which is left
    behind if it does not end, and which does not keep the process from ending.

    Raises:
        DeadlinePassedError: The deadline passed.
        BaseException: What the action raised.
    """
    deadline = _current.get()
    if deadline is None:
        return action()
    run = _Run(action)
    # The context carries the deadline, and who is silent in the logs.
    thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    # Again, because a person who was asked in between has stopped the countdown.
    while thread.is_alive() and (left := deadline.remaining) > 0:
        thread.join(left)
    if not run.is_done:
        raise DeadlinePassedError
    _wait_for_end(thread)
    return run.result()


def _wait_for_end(thread: threading.Thread) -> None:
    # Python calls a thread ended before the system does. Meanwhile OpenSSL cleans up after it
    # under a lock, and in a child that is forked then this lock is never released.
    thread.join()
    task = f"/proc/self/task/{thread.native_id}"
    ends_at = time.monotonic() + _MAX_CLEANUP_SECONDS
    while os.path.exists(task) and time.monotonic() < ends_at:
        time.sleep(0.0002)


class _Run(Generic[_Result]):
    def __init__(self, action: Callable[[], _Result]) -> None:
        self._action = action
        self._results: list[_Result] = []
        self._failure: BaseException | None = None
        self.is_done = False

    def __call__(self) -> None:
        try:
            self._results.append(self._action())
        except BaseException as exc:  # noqa: BLE001  # raised again in the thread that waits
            self._failure = exc
        self.is_done = True

    def result(self) -> _Result:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return self._results[0]
