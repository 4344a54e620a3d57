"""Who may do what: grants of permissions to members on resources and all below them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from ksm_storage_emulators.gcp_kms.errors import GcpError

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions of one member on a resource and below; `*` stands for all of either."""

    member: str
    permissions: frozenset[str]
    resource: str = EVERYTHING

    def covers(self, member: str, permission: str, resource: str) -> bool:
        """Say whether this grant allows it."""
        if self.member != member or not self.permissions & {permission, EVERYTHING}:
            return False
        below = resource == self.resource or resource.startswith(f"{self.resource}/")
        return self.resource == EVERYTHING or below


class Policy:
    """The grants in force; safe across threads."""

    def __init__(self) -> None:
        """Start without grants."""
        self._lock = threading.Lock()
        self._grants: list[Grant] = []

    def grant(self, member: str, permissions: Iterable[str], *, on: str = EVERYTHING) -> None:
        """Allow the member (an e-mail address) the permissions on a resource and below."""
        with self._lock:
            self._grants.append(Grant(member, frozenset(permissions), on))

    def revoke(self, member: str) -> None:
        """Take all grants of a member away."""
        with self._lock:
            self._grants = [each for each in self._grants if each.member != member]

    def allows(self, member: str, permission: str, resource: str) -> bool:
        """Say whether a member may."""
        with self._lock:
            return any(each.covers(member, permission, resource) for each in self._grants)

    def require(self, member: str, permission: str, resource: str) -> None:
        """Refuse a member without the permission.

        Raises:
            GcpError: PERMISSION_DENIED, also where the resource does not exist.
        """
        if not self.allows(member, permission, resource):
            raise GcpError("denied", permission=permission, resource=resource)
