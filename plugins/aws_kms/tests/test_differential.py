"""The same requests to three stand-ins for KMS: where they differ, and what is documented.

``DOCUMENTED`` is what KMS does according to its documentation; our emulator must do exactly
that. ``DIFFERENCES`` lists where the other stand-ins do otherwise, so a change of theirs shows.
Sources, below https://docs.aws.amazon.com/kms/latest/: "Encrypt", "Decrypt" and "Common Errors"
of APIReference/, and "Key states of AWS KMS keys", "Multi-Region keys in AWS KMS" and
"Encryption context" of developerguide/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config

from . import stand_ins
from .emulated_kms import EmulatedKms
from .moto_kms import MotoKms
from .requests_to_kms import REQUESTS, Kms, outcome

Credentials = tuple[str, str]

MOTO_ROOT = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MINISTACK_ROOT = ("test", "test")

DOCUMENTED: Mapping[str, str] = {
    "encrypt, decrypt": "opens",
    "encrypt, disabled key": "DisabledException",
    "decrypt, disabled key": "DisabledException",
    "encrypt, key pending deletion": "KMSInvalidStateException",
    "decrypt, key pending deletion": "KMSInvalidStateException",
    "decrypt, another key named": "IncorrectKeyException",
    "decrypt, last bit flipped": "InvalidCiphertextException",
    "decrypt, first bit flipped": "InvalidCiphertextException",
    "decrypt, junk": "InvalidCiphertextException",
    "decrypt, another value in the context": "InvalidCiphertextException",
    "decrypt, border of name and value moved": "InvalidCiphertextException",
    "decrypt, no context": "InvalidCiphertextException",
    "encrypt, alias": "names the key",
    "encrypt, no such key": "NotFoundException",
    "encrypt, no such alias": "NotFoundException",
    "encrypt, ARN of another region": "NotFoundException",
    "RSA, encrypt, decrypt": "256 bytes that open",
    # That these two are refused is documented, the code is not; a request that breaks a
    # constraint is a ValidationException by "Common Errors".
    "RSA, plaintext of 191 bytes": "ValidationException",
    "RSA, encryption context": "ValidationException",
    "RSA, no algorithm named": "InvalidKeyUsageException",
    "AES, RSA algorithm named": "InvalidKeyUsageException",
    "encrypt, dry run": "DryRunOperationException",
    "encrypt, 4097 bytes": "ValidationException",
    "decrypt through a replica": "opens",
    "unknown access key": "UnrecognizedClientException",
    "wrong secret access key": "InvalidSignatureException",
    "caller without permissions": "AccessDeniedException",
}

DIFFERENCES: Mapping[str, Mapping[str, str]] = {
    "moto": {
        "encrypt, disabled key": "encrypts",
        "decrypt, disabled key": "opens",
        "encrypt, key pending deletion": "encrypts",
        "decrypt, key pending deletion": "opens",
        "decrypt, another key named": "AccessDeniedException",
        "decrypt, first bit flipped": "AccessDeniedException",
        "decrypt, border of name and value moved": "opens",
        "RSA, encrypt, decrypt": "96 bytes that open",
        "RSA, plaintext of 191 bytes": "encrypts",
        "RSA, encryption context": "encrypts",
        "RSA, no algorithm named": "encrypts",
        "AES, RSA algorithm named": "encrypts",
        "encrypt, dry run": "encrypts",
        "decrypt through a replica": "AccessDeniedException",
        # It checks no signature and no policy unless told to.
        "unknown access key": "encrypts",
        "wrong secret access key": "encrypts",
        "caller without permissions": "encrypts",
    },
    "ministack": {
        "decrypt, another key named": "another plaintext",
        "decrypt, last bit flipped": "another plaintext",
        "decrypt, first bit flipped": "opens",
        "RSA, plaintext of 191 bytes": "InternalError",
        "RSA, encryption context": "UnsupportedOperationException",
        "AES, RSA algorithm named": "encrypts",
        "encrypt, dry run": "encrypts",
        "encrypt, 4097 bytes": "encrypts",
    },
}


@pytest.fixture(scope="module")
def ours(_running_emulator: EmulatedKms) -> Kms:
    service = _running_emulator.emulator.service
    root, powerless = service.administrator, service.identities.add_user("differential", [])
    return _clients(
        _running_emulator.url,
        root=(root.access_key_id, root.secret_access_key),
        powerless=(powerless.access_key_id, powerless.secret_access_key),
    )


@pytest.fixture(scope="module")
def moto_clients(_running_moto: MotoKms) -> Kms:
    return _clients(_running_moto.url, root=MOTO_ROOT, powerless=MOTO_ROOT)


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kms]:
    with stand_ins.ministack(tmp_path_factory.mktemp("ministack")) as url:
        iam = _client("iam", url, MINISTACK_ROOT)
        iam.create_user(UserName="differential")
        key = iam.create_access_key(UserName="differential")["AccessKey"]
        yield _clients(
            url, root=MINISTACK_ROOT, powerless=(key["AccessKeyId"], key["SecretAccessKey"])
        )


def test_every_request_has_a_documented_outcome() -> None:
    assert list(DOCUMENTED) == list(REQUESTS)
    for differences in DIFFERENCES.values():
        assert all(DOCUMENTED[name] != outcome for name, outcome in differences.items())


@pytest.mark.parametrize("name", REQUESTS)
def test_our_emulator_does_what_is_documented(ours: Kms, name: str) -> None:
    assert outcome(REQUESTS[name], ours) == DOCUMENTED[name]


@pytest.mark.parametrize("name", REQUESTS)
def test_moto_differs_where_it_is_listed(moto_clients: Kms, name: str) -> None:
    expected = DIFFERENCES["moto"].get(name, DOCUMENTED[name])

    assert outcome(REQUESTS[name], moto_clients) == expected


@pytest.mark.skipif(stand_ins.missing("ministack"), reason="see stand_ins.txt for ministack")
@pytest.mark.xdist_group("ministack")
@pytest.mark.parametrize("name", REQUESTS)
def test_ministack_differs_where_it_is_listed(ministack: Kms, name: str) -> None:
    expected = DIFFERENCES["ministack"].get(name, DOCUMENTED[name])

    assert outcome(REQUESTS[name], ministack) == expected


def _clients(url: str, *, root: Credentials, powerless: Credentials) -> Kms:
    return Kms(
        owner=_client("kms", url, root),
        elsewhere=_client("kms", url, root, region="eu-central-1"),
        unknown=_client("kms", url, ("AKIANOBODYNOBODY1234", "x" * 40)),
        # ministack does not check the secret of its root.
        wrong_secret=_client("kms", url, (powerless[0], "x" * 40)),
        powerless=_client("kms", url, powerless),
    )


def _client(service: str, url: str, credentials: Credentials, region: str = "us-east-1") -> Any:
    session = boto3.Session(*credentials, region_name=region)
    once = Config(retries={"total_max_attempts": 1})
    # The service is chosen at run time, which the overloads of the stubs do not allow for.
    make: Any = session.client
    return make(service, endpoint_url=url, config=once)
