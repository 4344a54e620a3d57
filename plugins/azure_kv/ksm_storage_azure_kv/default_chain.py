"""The default chain of azure-identity, telling why it gave nothing. Importing this imports it."""

from __future__ import annotations

from typing import Any

from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError


class DefaultChain:
    """Ask the sources of a ``DefaultAzureCredential`` in its order.

    The chain itself keeps the failure of a source as text only, so that an authority that is down
    could not be told from one that refuses, nor either of them from finding no source at all.
    """

    def __init__(self, chain: Any) -> None:
        self.credentials = chain.credentials
        self._chain = chain
        self._failures: list[Exception] = []
        self._chain.credentials = tuple(_noting(each, self._failures) for each in self.credentials)

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """Return a token of the first source that has one.

        Raises:
            CredentialUnavailableError: No source is set up here.
            ClientAuthenticationError: A source is, and failed; its exception is the cause.
        """
        try:
            return self._chain.get_token_info(*scopes, options=options)
        except ClientAuthenticationError as exc:
            if self._failures:
                raise exc from self._failures[-1]
            raise CredentialUnavailableError("no source is set up here") from exc
        finally:
            # An exception may hold the reply with a token, and must not outlive the call.
            self._failures.clear()


class _Source:
    def __init__(self, credential: Any, failures: list[Exception]) -> None:
        self._credential = credential
        self._failures = failures

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        try:
            return self._credential.get_token_info(*scopes, options=options)
        except CredentialUnavailableError:
            raise
        except Exception as exc:
            self._failures.append(exc)
            raise


def _noting(credential: Any, failures: list[Exception]) -> _Source:
    # The chain's text, which stays on our cause, names each source by its class.
    named: type[_Source] = type(type(credential).__name__, (_Source,), {})
    return named(credential, failures)
