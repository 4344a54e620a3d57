"""Who may call: users, roles, their access keys, and what they are allowed to do."""

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.message import Reply, Request, json_reply

_PREFIX = "/_emulator/service/"

ACCOUNT = "111122223333"


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of an identity-based policy; `*` and `?` are wildcards as in IAM."""

    effect: str
    actions: Sequence[str]
    resources: Sequence[str] = ("*",)

    def covers(self, action: str, resource: str) -> bool:
        """Say whether the statement speaks about this action on this resource."""
        # Actions are case-insensitive in IAM, resources are not.
        wanted = action.lower()
        return any(fnmatchcase(wanted, a.lower()) for a in self.actions) and any(
            fnmatchcase(resource, r) for r in self.resources
        )


def allow(*actions: str, on: Sequence[str] = ("*",)) -> Statement:
    """Return a statement that allows these actions."""
    return Statement("Allow", actions, on)


def deny(*actions: str, on: Sequence[str] = ("*",)) -> Statement:
    """Return a statement that denies these actions, whatever else allows them."""
    return Statement("Deny", actions, on)


@dataclass(slots=True)
class Principal:
    """A user or a role. `trusted` are the ARNs that may assume a role."""

    arn: str
    unique_id: str
    statements: list[Statement] = field(default_factory=list)
    trusted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Credentials. Those of a session carry a token and end at `expires_at`."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    principal: Principal
    caller_arn: str
    user_id: str
    session_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None


class Identities:
    """The principals and access keys of the emulated account; safe across threads."""

    def __init__(self, clock: MovableClock) -> None:
        """Start without users."""
        self._clock = clock
        self._lock = threading.Lock()
        self._principals: dict[str, Principal] = {}
        self._keys: dict[str, AccessKey] = {}

    def add_user(self, name: str, statements: Iterable[Statement]) -> AccessKey:
        """Create a user with one long-lived access key."""
        arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        principal = Principal(arn, f"AIDA{_token(16)}", list(statements))
        key = AccessKey(
            f"AKIA{_token(16)}", secrets.token_hex(20), principal, arn, principal.unique_id
        )
        self._keep(principal, key)
        return key

    def add_role(
        self, name: str, statements: Iterable[Statement], *, trusted: Sequence[str]
    ) -> Principal:
        """Create a role that the principals with these ARNs may assume."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        role = Principal(arn, f"AROA{_token(16)}", list(statements), trusted)
        with self._lock:
            self._principals[arn] = role
        return role

    def issue_session(self, role: Principal, session: str, *, seconds: float) -> AccessKey:
        """Return temporary credentials of a role."""
        arn = f"{role.arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{session}"
        key = AccessKey(
            f"ASIA{_token(16)}",
            secrets.token_hex(20),
            role,
            arn,
            f"{role.unique_id}:{session}",
            secrets.token_urlsafe(96),
            self._clock.now() + seconds,
        )
        self._keep(role, key)
        return key

    def set_statements(self, principal_arn: str, statements: Iterable[Statement]) -> None:
        """Replace the policy of a user or role, at once and for running sessions too."""
        with self._lock:
            self._principals[principal_arn].statements = list(statements)

    def delete_access_key(self, access_key_id: str) -> None:
        """Make an access key unknown."""
        with self._lock:
            del self._keys[access_key_id]

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """Find credentials, or None."""
        with self._lock:
            return self._keys.get(access_key_id)

    def principal(self, arn: str) -> Principal | None:
        """Find a user or role, or None."""
        with self._lock:
            return self._principals.get(arn)

    def _keep(self, principal: Principal, key: AccessKey) -> None:
        with self._lock:
            self._principals[principal.arn] = principal
            self._keys[key.access_key_id] = key


def _token(length: int) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return "".join(secrets.choice(alphabet) for _ in range(length))


def control_identities(identities: Identities, request: Request) -> Reply | None:
    """Make a user or a role, or replace a policy; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    name = f"{request.method} {request.path.removeprefix(_PREFIX)}"
    body = json_object(request.body)
    if name == "POST users":
        key = identities.add_user(str(body["name"]), _statements(body))
        credentials = {
            "arn": key.caller_arn,
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret_access_key,
        }
        return json_reply(200, credentials)
    if name == "POST roles":
        trusted = [str(arn) for arn in body["trusted"]]
        role = identities.add_role(str(body["name"]), _statements(body), trusted=trusted)
        return json_reply(200, {"arn": role.arn})
    if name == "POST statements":
        identities.set_statements(str(body["arn"]), _statements(body))
        return Reply(204)
    return None


def _statements(body: Mapping[str, Any]) -> list[Statement]:
    statements = [Statement(**value) for value in body["statements"]]
    for statement in statements:
        if statement.effect not in ("Allow", "Deny"):
            raise ValueError("effect must be Allow or Deny")
    return statements
