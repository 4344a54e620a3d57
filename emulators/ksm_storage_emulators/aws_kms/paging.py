"""Pages of long lists: Limit, Marker, Truncated, NextMarker."""

from typing import Any

from ksm_storage_emulators.aws_kms.arguments import Arguments
from ksm_storage_emulators.aws_kms.errors import AwsError


def page(arguments: Arguments, member: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one page of the entries.

    Raises:
        AwsError: InvalidMarkerException for a marker that no page gave.
    """
    limit = arguments.number("Limit", low=1, high=1000, default=100)
    marker = arguments.optional_text("Marker") or "0"
    if not marker.isdigit() or int(marker) > len(entries):
        raise AwsError("InvalidMarkerException", "Could not deserialize marker")
    end = int(marker) + limit
    reply: dict[str, Any] = {member: entries[int(marker) : end], "Truncated": end < len(entries)}
    if end < len(entries):
        reply["NextMarker"] = str(end)
    return reply
