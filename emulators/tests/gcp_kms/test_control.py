"""The control requests of an emulator started from the shell."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from google.api_core.exceptions import FailedPrecondition

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.gcp_kms.service import GcpKmsService
from ksm_storage_emulators.registry import create_service

from .conftest import Caller

Kms = Emulator[GcpKmsService]


def _control(kms: Kms, method: str, name: str, **body: object) -> bytes:
    url = f"{kms.url}/_emulator/service/{name}"
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
        return bytes(reply.read())


def test_an_account_is_made_and_may_do_what_it_is_granted(kms: Kms, tmp_path: Path) -> None:
    email = "made@demo.iam.gserviceaccount.com"
    permission = "cloudkms.cryptoKeyVersions.useToDecrypt"

    key_file = json.loads(_control(kms, "POST", "accounts", email=email))
    _control(kms, "POST", "grants", member=email, permissions=[permission], resource="projects/x")

    assert key_file["client_email"] == email
    assert kms.service.policy.allows(email, permission, "projects/x/locations/global")
    assert not kms.service.policy.allows(email, permission, "projects/xy")

    _control(kms, "DELETE", "grants", member=email)
    assert not kms.service.policy.allows(email, permission, "projects/x")


def test_a_key_is_made(kms: Kms, call: Caller) -> None:
    made = json.loads(_control(kms, "POST", "keys", key_id="made"))

    assert call("encrypt", name=made["name"], plaintext=b"p").name == made["version"]


def test_a_key_pair_takes_as_long_as_it_is_told(kms: Kms, call: Caller) -> None:
    kms.service.clock.freeze()
    _control(kms, "POST", "generation", seconds=30)

    made = json.loads(_control(kms, "POST", "keys", key_id="slow", algorithm="EC_SIGN_P256_SHA256"))
    _control(kms, "POST", "generation", seconds=0)
    with pytest.raises(FailedPrecondition, match="PENDING_GENERATION"):
        call("get_public_key", name=made["version"])
    kms.service.clock.advance(30)

    assert call("get_public_key", name=made["version"]).pem


def test_the_demonstration_tells_where_grpc_listens() -> None:
    with Emulator(create_service("gcp-kms")) as emulator:
        environment = emulator.environment()

    assert environment["KSM_STORAGE_GCP_KMS_ENDPOINT"].startswith("http://127.0.0.1:")
    assert environment["GCE_METADATA_HOST"] == emulator_host(environment)


def emulator_host(environment: object) -> str:
    """Return the host of the other HTTP address."""
    assert isinstance(environment, dict)
    return str(environment["KSM_STORAGE_GCP_KMS_IAM_ENDPOINT"]).removeprefix("http://")
