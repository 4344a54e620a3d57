"""What the proxy loads in its own process: it notes who is asked for, and knows the tests' names.

A file of its own, because it imports the proxy's package, which the tests' process does not load.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from proxy.http.exception import HttpRequestRejected
from proxy.http.parser import HttpParser
from proxy.http.proxy import HttpProxyBasePlugin

FOLDER = "PROXY_OBSERVER_FOLDER"
ASKED, ROUTES = "asked", "routes.json"


class Observer(HttpProxyBasePlugin):
    """Note each request after the proxy has checked its credentials, and before it connects."""

    def before_upstream_connection(self, request: HttpParser) -> HttpParser:
        """Note the request; send it where the tests say, or refuse it."""
        folder = Path(os.environ[FOLDER])
        host, port = (request.host or b"").decode(), request.port
        with open(folder / ASKED, "a", encoding="utf-8") as file:
            file.write(f"{host.strip('[]')}:{port}\n")
        routes = json.loads((folder / ROUTES).read_text(encoding="utf-8"))
        self._address = None
        if host in routes:
            if routes[host] is None:
                raise HttpRequestRejected(status_code=403, reason=b"Forbidden")
            self._address, request.port = routes[host]
        return request

    def resolve_dns(self, host: str, port: int) -> tuple[str | None, None]:  # noqa: ARG002
        """Return the address for a name that the tests gave one, and for one in brackets."""
        # The proxy would look an IPv6 address in brackets up.
        return self._address or (host.strip("[]") if host.startswith("[") else None), None
