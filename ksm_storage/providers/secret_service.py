"""Find out whether the Secret Service would have to ask the user, without making it ask."""

from __future__ import annotations

from contextlib import closing

from ..plugin import UnavailableError
from .native_store_errors import locked


def refuse_prompting(backend: object) -> None:
    """Return if the collection that keyring would use is there and unlocked.

    Raises:
        UnavailableError: It is locked, or there is none and the service would ask to make one.
    """
    import secretstorage

    with closing(secretstorage.dbus_init()) as connection:
        # keyring lets its user name another collection in the environment.
        preferred = getattr(backend, "preferred_collection", None)
        try:
            collection = (
                secretstorage.Collection(connection, preferred)
                if preferred
                else secretstorage.get_collection_by_alias(connection, "default")
            )
        except secretstorage.ItemNotFoundException as exc:
            raise UnavailableError(
                "the OS keyring (secret-service) has no default collection",
                hint="log in to the desktop session once, or name another key with --key",
            ) from exc
        if collection.is_locked():
            raise locked("secret-service")
