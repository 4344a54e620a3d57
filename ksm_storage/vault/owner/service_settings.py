"""What the owner tells the server to do: another key, or patience."""

from __future__ import annotations

from ..server_keys import ServerKey, renumber_server_key, rotate_server_key
from ..throttle_rule import ThrottleRule, read_throttle, write_throttle
from .session import OwnerSession


def rotate_key(session: OwnerSession) -> ServerKey:
    """Replace the server's key pair; clients that pinned the old key need the new one."""
    with session.write() as (connection, _):
        return rotate_server_key(connection, session.folder, now=session.clock())


def renumber_key(session: OwnerSession) -> ServerKey:
    """Give the server's key another id; clients follow by themselves."""
    with session.write() as (connection, _):
        return renumber_server_key(connection, now=session.clock())


def set_throttle(session: OwnerSession, rule: ThrottleRule) -> None:
    """Put a rule in force with the next request."""
    with session.write() as (connection, _):
        write_throttle(connection, rule)


def get_throttle(session: OwnerSession) -> ThrottleRule:
    """Return the rule in force."""
    with session.read() as (connection, _):
        return read_throttle(connection)
