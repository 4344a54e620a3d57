"""Calls to a key service without the vendor's client, and the connections that they keep open.

The client stands behind each call. ``http.client`` parses the headers of a reply as those of a
mail, which takes half as long as the rest of a call (docs/decisions/0101-aws-client.md). What is
not plainly a reply is refused here, so that the client sees it.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from .http_api import MAX_REPLY
from .service_client import NotDirectError, deadline_of, lock_held, seconds_left, within_deadline

# The metadata services offer new credentials five minutes before the old ones expire.
RENEWAL_SECONDS = 240.0
# After a failure: a service that throttles is left to the client, which waits between attempts.
PAUSE_SECONDS = 1.0
# Routers forget a connection after minutes without telling its ends.
MAX_IDLE_SECONDS = 60
MAX_LINE = 65_536
MAX_HEADERS = 100
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [^\r\n]*)?\r\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_ONCE = ("content-length", "transfer-encoding", "connection")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,6})(?:;[^\r\n]*)?\r\n")

_Prepared = TypeVar("_Prepared")
_Result = TypeVar("_Result")


class DirectCalls(Generic[_Prepared]):
    """Send calls directly, and again through the client if that fails; safe across threads.

    So the client's errors and repeats are the only ones that a user sees.

    Args:
        prepare: Checks the settings, reads the credentials and returns what ``send`` needs, or
            raises NotDirectError. Called once, and again after ``RENEWAL_SECONDS``, so that
            credentials do not expire in use.
        seconds: The time for a direct call.
        deadline: Seconds for the direct call and the client's together; a direct call has at most
            half of them.
    """

    def __init__(
        self, prepare: Callable[[], _Prepared], *, seconds: float, deadline: float
    ) -> None:
        self._prepare = prepare
        self._seconds = seconds
        self._deadline = deadline
        self._held: tuple[_Prepared, float] | None = None
        self._resume_at = 0.0
        # By process: a lock that another thread held at a fork is never released in the child.
        self._locks: dict[int, threading.Lock] = {}

    def call(
        self, send: Callable[[_Prepared], _Result], through_client: Callable[[], _Result]
    ) -> _Result:
        """Return what ``send`` returns or, if that fails in any way, what the client does.

        ``send`` runs in this thread, and must end with the deadline.

        Raises:
            BaseException: What the call through the client raised; it does not name the direct one.
        """
        with deadline_of(self._deadline):
            if not self._pauses():
                try:
                    with deadline_of(min(self._seconds, self._deadline / 2)):
                        return send(self._ready())
                except Exception:  # noqa: BLE001  # the client asks again, and reports
                    self._pause()
            return through_client()

    def _pause(self) -> None:
        # The credentials may have been revoked: the next direct call reads them again.
        self._held = None
        self._resume_at = time.monotonic() + PAUSE_SECONDS

    def _pauses(self) -> bool:
        return time.monotonic() < self._resume_at

    def _ready(self) -> _Prepared:
        held = self._held
        if held is None or time.monotonic() >= held[1]:
            with lock_held(self._locks.setdefault(os.getpid(), threading.Lock())):
                # Another thread may have renewed them meanwhile.
                newest = self._held
                held = self._renewed() if newest is None or newest is held else newest
                self._held = held
        return held[0]

    def _renewed(self) -> tuple[_Prepared, float]:
        # Those that waited for a failure do not wait for the next one.
        if self._pauses():
            raise NotDirectError("a moment ago it was not possible")
        try:
            found = within_deadline(self._prepare)
        except Exception:
            # Whatever it was, and before the lock is free for the threads that wait for it.
            self._pause()
            raise
        return found, time.monotonic() + RENEWAL_SECONDS


class KeptConnection:
    """Send one request after another; one thread at a time uses it.

    Attributes:
        is_answered: Whether a byte of the reply to the last request came.
        is_reusable: Whether the last reply was whole, and the service keeps the connection open.
    """

    def __init__(self, connected: socket.socket, *, host: str, read_timeout: float) -> None:
        self._socket = connected
        self._host = host
        self._read_timeout = read_timeout
        self._source = _Source(self)
        self._reader = io.BufferedReader(self._source, MAX_LINE)
        self._used_at = 0.0
        self.is_answered = self.is_reusable = False

    @property
    def is_idle(self) -> bool:
        """Whether it can carry a request: not too old, not closed, and nothing came unasked."""
        if time.monotonic() - self._used_at > MAX_IDLE_SECONDS:
            return False
        try:
            return not select.select([self._socket], [], [], 0)[0]
        # Closed, or a number that select does not take.
        except (OSError, ValueError):
            return False

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request, and return status, headers in lower case and body of the reply.

        Raises:
            OSError: The connection failed, or the deadline passed.
            http.client.HTTPException: The reply is cut off, too long or malformed. It holds
                nothing of the reply, which may hold a data key.
        """
        self.is_answered = self.is_reusable = False
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
        if "host" not in headers:
            lines.append(f"host: {self._host}")
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        head = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        if head.count(b"\n") != len(lines):
            raise ValueError("a header has a line end")
        self._in_time().sendall(head + b"\r\n" + (body or b""))
        status, found = self._read_head()
        read = self._read_body(status, found)
        self.is_reusable = found.get("connection", "").lower() != "close" and not self._surplus()
        self._used_at = time.monotonic()
        return status, found, read

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes, as ``recv_into`` does."""
        count = self._in_time().recv_into(buffer)
        self.is_answered = self.is_answered or count > 0
        return count

    def _in_time(self) -> socket.socket:
        seconds = min(self._read_timeout, seconds_left())
        # Not each time: it is a system call, at which other threads take over.
        if seconds != self._socket.gettimeout():
            self._socket.settimeout(seconds)
        return self._socket

    def _read_head(self) -> tuple[int, dict[str, str]]:
        first = self._read_line()
        if not first and not self.is_answered:
            raise ConnectionResetError("closed before the reply")
        status = _STATUS.fullmatch(first)
        headers: dict[str, str] = {}
        while (line := self._read_line()) != b"\r\n":
            header = _HEADER.fullmatch(line)
            name = header[1].decode("ascii").lower() if header else ""
            # Two lengths would be two replies to two readers.
            is_twice = name in headers and name in _ONCE
            if header is None or is_twice or len(headers) == MAX_HEADERS:
                raise http.client.HTTPException("malformed headers")
            headers[name] = header[2].decode("latin-1")
        if status is None:
            raise http.client.HTTPException("malformed status line")
        return int(status[1]), headers

    def _read_body(self, status: int, headers: Mapping[str, str]) -> bytes:
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if status in (204, 304):
            return b""
        if coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise http.client.HTTPException("unknown transfer encoding")
            return self._read_chunks()
        if length is None or not re.fullmatch("[0-9]{1,7}", length):
            raise http.client.HTTPException("the reply has no length")
        return self._read_exactly(int(length))

    def _read_chunks(self) -> bytes:
        read = b""
        while True:
            size = _CHUNK.fullmatch(self._read_line())
            if size is None:
                raise http.client.HTTPException("malformed chunk")
            count = int(size[1], 16)
            read += self._read_exactly(count, before=len(read))
            # A trailer would stand where the last line end is; nobody sends one unasked.
            if self._read_line() != b"\r\n":
                raise http.client.HTTPException("malformed chunk")
            if not count:
                return read

    def _read_exactly(self, count: int, *, before: int = 0) -> bytes:
        if count + before > MAX_REPLY:
            raise http.client.HTTPException("the reply is too long")
        read = self._reader.read(count)
        if len(read) < count:
            raise http.client.HTTPException("the reply was cut off")
        return read

    def _read_line(self) -> bytes:
        return self._reader.readline(MAX_LINE)

    def _surplus(self) -> bytes:
        # What came beyond a reply would be taken for the next one.
        self._source.is_paused = True
        try:
            return self._reader.peek(1)
        finally:
            self._source.is_paused = False


class _Source(io.RawIOBase):
    def __init__(self, connection: KeptConnection) -> None:
        self._connection, self.is_paused = connection, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return 0 if self.is_paused else self._connection.receive_into(buffer)
