"""Credentials of an assumed role, on top of those that the AWS client finds by itself."""

from __future__ import annotations

from typing import Any

from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)

from .options import Role

METHOD = "ksm-storage-role"


def assume_role(session: Any, role: Role, *, region: str | None) -> None:
    """Make the session's clients use the role; STS is called when credentials are first needed."""
    source = session.get_component("credential_provider")
    provider = _RoleProvider(session, source, role, region)
    session.register_component("credential_provider", CredentialResolver([provider]))


class _RoleProvider(CredentialProvider):
    METHOD = METHOD
    CANONICAL_NAME = None

    def __init__(self, session: Any, source: Any, role: Role, region: str | None) -> None:
        super().__init__(session)
        self._session = session
        self._source = source
        self._role = role
        self._region = region

    def load(self) -> Any:
        """Return credentials that renew themselves, or None where there are none to start from."""
        own = self._source.load_credentials()
        if own is None:
            return None
        arguments = {"RoleSessionName": self._role.session_name}
        if self._role.external_id is not None:
            arguments["ExternalId"] = self._role.external_id
        fetcher = AssumeRoleCredentialFetcher(
            self._create_client, own, self._role.arn, extra_args=arguments
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, METHOD)

    def _create_client(self, service: str, **arguments: Any) -> Any:
        return self._session.create_client(service, region_name=self._region, **arguments)
