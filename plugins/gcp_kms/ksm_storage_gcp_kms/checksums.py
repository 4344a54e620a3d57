"""CRC32C in both directions: the client does not check it, so damage would go unnoticed.

Source: Cloud KMS documentation, "Data integrity guidelines".
"""

from __future__ import annotations

from typing import Any

import google_crc32c

from ksm_storage.plugin import UnavailableError


def with_checksums(**fields: bytes) -> dict[str, object]:
    """Return the fields of a request, each beside its checksum."""
    request: dict[str, object] = dict(fields)
    for name, value in fields.items():
        request[f"{name}_crc32c"] = crc32c(value)
    return request


def crc32c(value: bytes) -> int:
    """Return the CRC32C (Castagnoli) of the bytes."""
    return int(google_crc32c.value(value))


def require_received(reply: Any, *fields: str) -> None:
    """Check that the service confirms the checksums it was sent.

    Raises:
        UnavailableError: It does not: they were lost, and the data may be damaged.
    """
    for name in fields:
        if getattr(reply, f"verified_{name}_crc32c") is not True:
            raise UnavailableError(
                f"Cloud KMS did not confirm the checksum of {name!r}: the request was altered on "
                "its way",
                hint="try again; if it stays, look at the proxies between here and Cloud KMS",
            )


def checked(reply: Any, name: str) -> bytes:
    """Return a field of a reply whose checksum is right.

    Raises:
        UnavailableError: It is not, or is missing.
    """
    raw = getattr(reply, name)
    value = raw.encode() if isinstance(raw, str) else bytes(raw)
    if getattr(reply, f"{name}_crc32c") != crc32c(value):
        raise UnavailableError(
            f"the checksum of {name!r} in the reply of Cloud KMS is wrong: it was altered on its "
            "way",
            hint="try again; if it stays, look at the proxies between here and Cloud KMS",
        )
    return value
