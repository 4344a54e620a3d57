"""A client of the real library, as any account of the emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService

grpc = pytest.importorskip("grpc")
SCOPE = "https://www.googleapis.com/auth/cloudkms"

Caller = Callable[..., Any]


@pytest.fixture(scope="session")
def _running() -> Iterator[Emulator[GcpKmsService]]:
    with Emulator(GcpKmsService()) as emulator:
        yield emulator


@pytest.fixture
def kms(
    _running: Emulator[GcpKmsService], clean_environment: None
) -> Iterator[Emulator[GcpKmsService]]:
    """Run the emulator; making its administrator for each test would cost time."""
    _running.reset()
    yield _running
    _running.reset()


@pytest.fixture
def call(kms: Emulator[GcpKmsService]) -> Iterator[Caller]:
    """Return a function that calls a method of the client: `call("encrypt", name=...)`."""
    from google.cloud import kms_v1
    from google.cloud.kms_v1.services.key_management_service.transports import (
        KeyManagementServiceGrpcTransport,
    )

    with ExitStack() as stack:
        channel = grpc.insecure_channel(kms.service.grpc_address)
        transport = KeyManagementServiceGrpcTransport(channel=channel)
        client = stack.enter_context(kms_v1.KeyManagementServiceClient(transport=transport))

        def call(
            method: str,
            *,
            authorization: str | None = "administrator",
            quota_project: str | None = None,
            **request: Any,
        ) -> Any:
            if authorization == "administrator":
                token = kms.service.tokens.issue(ADMINISTRATOR, frozenset([SCOPE]))
                authorization = f"Bearer {token}"
            metadata = [("authorization", authorization)] if authorization else []
            if quota_project:
                metadata.append(("x-goog-user-project", quota_project))
            return getattr(client, method)(
                request=request, retry=None, timeout=20, metadata=metadata
            )

        yield call
