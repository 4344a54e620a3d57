"""One HTTP request and one HTTP reply, as services see them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


class Headers(Mapping[str, str]):
    """Header fields, looked up without regard to case; repeated fields joined by a comma."""

    def __init__(self, pairs: Mapping[str, str] | list[tuple[str, str]]) -> None:
        """Keep the fields in the order given."""
        items = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
        self._values: dict[str, str] = {}
        for name, value in items:
            key = name.lower()
            joined = f"{self._values[key]},{value}" if key in self._values else value
            self._values[key] = joined

    def __getitem__(self, name: str) -> str:
        """Return the value of a field."""
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in lower case."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the fields."""
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived on the wire. `target` is untouched: signatures cover its exact spelling."""

    method: str
    target: str
    headers: Headers
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The part of the target before the question mark, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query parameters in order."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. `Content-Length`, `Date` and `Server` are added by the server."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(
    status: int,
    value: Any,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return a reply whose body is `value` as JSON."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Reply(status, body, {"Content-Type": content_type, **(headers or {})})
