"""The client of one endpoint of a vault: made at first use, its failures translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ksm_storage import plugin as kit

from .hooks import Access

if TYPE_CHECKING:
    from .sdk_client import Credentials

SDK_LOGGERS = ("oci", "urllib3", "circuitbreaker")
PERMISSIONS = {
    "encrypt": "KEY_ENCRYPT",
    "decrypt": "KEY_DECRYPT",
    "sign": "KEY_SIGN",
    "get_key": "KEY_READ",
    "get_key_version": "KEY_READ",
}


class Reply(NamedTuple):
    """Hold what came back: the service's model of the data, and the request id."""

    data: Any
    request_id: str | None

    def optional_text(self, name: str) -> str | None:
        """Return a member that is a text with something in it, or None."""
        value = getattr(self.data, name, None)
        return value if isinstance(value, str) and value else None


class _Session(NamedTuple):
    sdk: Any
    credentials: Credentials


class VaultClient:
    """Call one endpoint of a vault; safe across threads, and across a fork."""

    def __init__(self, name: kit.KeyName, access: Access, *, management: bool = False) -> None:
        self.name = name
        self.access = access
        self._management = management
        # Whether the client that is held has been answered: what it signs with may be outdated.
        self._has_served = False
        self._held: kit.ServiceClient[_Session] = kit.ServiceClient(
            self._create,
            close=lambda session: session.sdk.base_client.session.close(),
            deadline=access.connection.deadline,
            loggers=SDK_LOGGERS,
            load=_import_sdk,
            direct_seconds=access.connection.attempt if access.may_call_directly else None,
        )

    def call(self, operation: str, details: Mapping[str, object]) -> Reply:
        """Call an operation of the endpoint; the details are the members of its request.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        # First: the import takes longer than a call, and does not count against its deadline.
        with kit.gc_pause(), kit.uncounted():
            _import_sdk()
        with kit.deadline_of(self.access.connection.deadline):
            if self._has_served:
                try:
                    return self._sent(operation, details)
                except kit.AuthenticationError:
                    # By now another token or key may be in the files: a session that was renewed
                    # while this process was idle must not fail a call.
                    self.close()
            try:
                return self._sent(operation, details)
            except kit.AuthenticationError:
                self.close()
                raise

    def decrypt(self, details: Mapping[str, object]) -> Reply:
        """Return the reply to a ``decrypt``; the first one is sent without Oracle's client.

        Raises:
            KsmStorageError: As :meth:`call` does.
        """

        def direct() -> Reply:
            from .direct_call import decrypt

            return Reply(*decrypt(self.name, self.access, details))

        return self._held.run_first(direct, lambda: self.call("decrypt", details))

    def first_unwrap(self) -> str:
        """Say who sends the first ``decrypt`` of a process, for ``doctor``."""
        from .direct_call import credential_source

        return kit.first_unwrap(
            lambda: credential_source(self.name, self.access), client="Oracle's client"
        )

    def credentials(self) -> Credentials:
        """Return what signs the requests, obtained as for a call.

        Raises:
            KsmStorageError: They could not be obtained.
        """
        with kit.translating(lambda exc: self._translated(exc, "decrypt")):
            return self._held.run(lambda session: session.credentials)

    def management(self) -> VaultClient:
        """Return a client of the management endpoint of the same vault; close it."""
        return VaultClient(self.name, self.access, management=True)

    def close(self) -> None:
        """Close the connections."""
        self._has_served = False
        self._held.close()

    def _sent(self, operation: str, details: Mapping[str, object]) -> Reply:
        from . import sdk_client

        def send(session: _Session) -> Any:
            self._refresh(session.credentials)
            return sdk_client.send(session.sdk, operation, details, self.access)

        with kit.translating(lambda exc: self._translated(exc, operation)):
            response = self._held.run(send)
            self._has_served = True
            return Reply(response.data, response.headers.get("opc-request-id"))

    def _create(self) -> _Session:
        from . import sdk_client

        endpoint = self._endpoint()
        if "[" in endpoint:
            raise kit.SettingsError(
                f"Oracle's client does not accept an IPv6 address as endpoint: {endpoint!r}",
                hint="set the option 'endpoint' to a host name that stands for the address",
            )
        with (
            kit.translating(self._credential_error),
            kit.deadline_of(self.access.credential_timeout),
        ):
            found = sdk_client.load_credentials(self.access, region=self.name.parts["region"])
            sdk = sdk_client.create_client(
                found, self.access, endpoint=endpoint, management=self._management
            )
        return _Session(sdk, found)

    def _refresh(self, credentials: Credentials) -> None:
        with (
            kit.translating(self._credential_error),
            kit.deadline_of(self.access.credential_timeout),
        ):
            credentials.refresh()

    def _endpoint(self) -> str:
        from . import sdk_client

        access = self.access
        if self._management and access.management_endpoint is not None:
            return access.management_endpoint
        crypto = access.connection.endpoint or sdk_client.crypto_endpoint(
            self.name, region=access.region
        )
        # The two differ by a word.
        return crypto.replace("-crypto.kms.", "-management.kms.") if self._management else crypto

    def _translated(self, exc: Exception, operation: str) -> kit.KsmStorageError:
        from .errors import translated

        place = repr(self._endpoint())
        return translated(exc, kit.Call(operation, str(self.name), place, PERMISSIONS[operation]))

    def _credential_error(self, exc: Exception) -> kit.KsmStorageError:
        from .credential_errors import credential_error

        call = kit.Call("GetCredentials", str(self.name), "Oracle's credential service")
        return credential_error(exc, self.access, call)


def _import_sdk() -> None:
    from . import errors, sdk_client  # noqa: F401
