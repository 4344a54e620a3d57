"""What sends the requests: silent, and with the caller's authorities. Imports Oracle's client."""

from __future__ import annotations

from typing import Any

from oci._vendor.requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _QuietHttp(HTTPConnection):
    # A client with log_requests, anywhere in the process, sets this on the class of all
    # connections, and from then on each prints what it sends and receives, DEKs too.
    debuglevel = 0


class _QuietHttps(HTTPSConnection):
    debuglevel = 0


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _QuietHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _QuietHttps


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class QuietAdapter(HTTPAdapter):  # type: ignore[misc]  # the client has no annotations
    """Send requests through connections that print nothing."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        """Send a request; the option goes before REQUESTS_CA_BUNDLE, which ``verify`` may be."""
        if str(request.url).lower().startswith("http://"):
            # To an emulator on this machine. Through a proxy the DEK would leave it in the clear.
            proxies = None
        return super().send(request, stream, timeout, self._ca_file or verify, cert, proxies)


def install(session: Any, *, ca_file: str | None) -> None:
    """Make the session of a client send in this way, and follow no redirect."""
    adapter = QuietAdapter(ca_file)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    # A 307 would send the DEK to wherever the reply says.
    session.max_redirects = 0
