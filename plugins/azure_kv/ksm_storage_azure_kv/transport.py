"""What sends the requests: within the deadline, and to another address where one is given.

Importing this module imports the Azure client.
"""

from __future__ import annotations

import threading
from typing import Any

import requests
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from ksm_storage import plugin as kit

from .hooks import Access


class NoTimeError(kit.DeadlinePassedError):
    """Report that the deadline leaves no time; ``status`` is that of the last reply, if any.

    It is not one of the client's own exceptions: the client would try those again.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__("the deadline has passed")
        self.status = status


class FinalError(OSError):
    """Report an untrusted certificate or a proxy's refusal; the client would try it again."""


class DeadlineTransport(RequestsTransport):  # type: ignore[misc]  # its package exports it untyped
    """Send and pause no longer than the deadline allows.

    The Azure client bounds each attempt and the number of attempts, not the time of all: it
    sleeps for as long as a Retry-After says.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._last = threading.local()

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send one request with timeouts that end before the deadline does."""
        left = self._required(_seconds_left())
        self._last.status = None
        kwargs["proxies"] = kit.proxies_for(request.url)
        for name, own in (
            ("connection_timeout", self.connection_config.timeout),
            ("read_timeout", self.connection_config.read_timeout),
        ):
            kwargs[name] = min(kwargs.get(name) or own, left)
        try:
            response = super().send(request, **kwargs)
        except ServiceRequestError as exc:
            if kit.is_final_failure(exc):
                raise FinalError("the next attempt would fail too") from exc
            raise
        self._last.status = response.status_code
        return response

    def sleep(self, duration: float) -> None:
        """Pause between two attempts, or give up if nothing could follow."""
        self._required(_seconds_left() - duration)
        super().sleep(duration)

    def _required(self, left: float) -> float:
        if left <= 0:
            raise NoTimeError(getattr(self._last, "status", None))
        return left


class DeadlineRetryPolicy(RetryPolicy[Any, Any]):
    """Retry as the Azure client does, while the pause ends before the deadline.

    So that the last reply is kept, and a 429 is reported with its request id and advice. The
    credentials have policies of their own; there the transport breaks off.
    """

    def increment(
        self, settings: dict[str, Any], response: Any = None, error: Exception | None = None
    ) -> bool:
        """Count an attempt and tell whether another may follow."""
        if not super().increment(settings, response=response, error=error):
            return False
        advised = self.get_retry_after(response) if isinstance(response, PipelineResponse) else None
        return (advised or self.get_backoff_time(settings)) < _seconds_left()


def make_transport(host: str, access: Access) -> DeadlineTransport:
    """Return the one transport of a client and its credentials; the caller closes its session."""
    session, connection = requests.Session(), access.connection
    # It has a rule of its own for proxies, and reads passwords from ~/.netrc. The transport's own
    # option, use_env_settings, does not reach a session that it is given.
    session.trust_env = False
    if access.address is not None:
        session.mount(f"https://{host}/", _RedirectedAdapter(host, access.address))
    return DeadlineTransport(
        session=session,
        connection_timeout=connection.connect_timeout,
        read_timeout=connection.read_timeout,
        connection_verify=connection.ca_file or True,
    )


def _seconds_left() -> float:
    deadline = kit.current_deadline()
    return float("inf") if deadline is None else deadline.remaining


class _RedirectedAdapter(HTTPAdapter):
    """Connect to another address; the certificate must still be the vault's."""

    def __init__(self, host: str, address: tuple[str, int]) -> None:
        super().__init__()
        self._host = host
        self._address = address

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,  # noqa: ARG002  # the signature is the superclass's
    ) -> requests.Response:
        """Send to the address, through no proxy."""
        # Otherwise it would be the address.
        request.headers["Host"] = self._host
        return super().send(request, stream, timeout, verify, cert, proxies=None)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Return where and how to connect; TLS checks the vault's name."""
        place, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        host, port = self._address
        return {**place, "host": host, "port": port}, {**pool, "server_hostname": self._host}
