"""Signatures, credentials, permissions and roles."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

import pytest

from ksm_storage_emulators.aws_kms.identities import AccessKey, allow, deny

from .conftest import AwsKms, Clients
from .refusal import refused


def raw(
    emulator: AwsKms, headers: Mapping[str, str], body: bytes = b"{}"
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.address.port, timeout=3)
    connection.request("POST", "/", body, {"X-Amz-Target": "TrentService.ListAliases", **headers})
    reply = connection.getresponse()
    parsed = json.loads(reply.read())
    assert reply.headers["x-amzn-RequestId"]
    connection.close()
    return reply.status, parsed


def test_an_unknown_access_key_is_an_unrecognized_client(aws_kms: AwsKms, clients: Clients) -> None:
    kms = clients.make(aws_access_key_id="AKIAIOSFODNN7EXAMPLE")

    with refused("UnrecognizedClientException") as error:
        kms.list_aliases()
    assert error["Message"] == "The security token included in the request is invalid."


def test_a_wrong_secret_is_an_invalid_signature(clients: Clients) -> None:
    with refused("InvalidSignatureException"):
        clients.make(aws_secret_access_key="wrong").list_aliases()


@pytest.mark.parametrize(("skew", "text"), [(600, "expired"), (-600, "not yet current")])
def test_a_clock_that_is_wrong_is_an_invalid_signature(
    aws_kms: AwsKms, kms: Any, skew: float, text: str
) -> None:
    aws_kms.clock.set_skew(skew)

    with refused("InvalidSignatureException") as error:
        kms.list_aliases()
    assert text in error["Message"]


def test_no_signature_is_a_missing_token(aws_kms: AwsKms) -> None:
    status, error = raw(aws_kms, {})

    assert (status, error["__type"]) == (400, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    "value",
    [
        "Basic dTpw",
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/kms/aws4_request",
        "AWS4-HMAC-SHA256 Credential=AKIA/us-east-1, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/1/r/kms/aws4_request, SignedHeaders=host, Signature=00",
    ],
)
def test_half_a_signature_is_an_incomplete_one(aws_kms: AwsKms, value: str) -> None:
    assert raw(aws_kms, {"Authorization": value})[1]["__type"] == "IncompleteSignatureException"


def test_a_changed_body_target_or_dropped_header_breaks_the_signature(
    aws_kms: AwsKms, kms: Any
) -> None:
    kms.list_aliases()
    sent = dict(aws_kms.transcript.exchanges()[-1].headers)
    sent.pop("content-length")
    without = sent["authorization"].replace("x-amz-target", "x-amz-other")
    variants = [
        ({**sent}, b'{"Limit":1}'),
        ({**sent, "x-amz-target": "TrentService.CreateKey"}, b"{}"),
        ({**sent, "authorization": without}, b"{}"),
        ({**sent, "authorization": sent["authorization"].replace("/kms/", "/sts/")}, b"{}"),
    ]
    sent.pop("x-amz-target")

    codes = [raw(aws_kms, headers, body)[1]["__type"] for headers, body in variants]

    assert codes == ["InvalidSignatureException"] * 4


def test_an_operation_that_does_not_exist_is_unknown(aws_kms: AwsKms, kms: Any) -> None:
    with refused("UnknownOperationException"):
        kms.list_grants(KeyId="1234abcd-12ab-34cd-56ef-1234567890ab")


def test_a_body_that_is_no_json_is_a_serialization_error(aws_kms: AwsKms, clients: Clients) -> None:
    kms = clients.make()
    kms.meta.events.register(
        "before-sign.kms.ListAliases", lambda request, **_: setattr(request, "data", b"{")
    )

    with refused("SerializationException"):
        kms.list_aliases()


@pytest.fixture
def reader(aws_kms: AwsKms, key_id: str) -> AccessKey:
    return aws_kms.service.identities.add_user("reader", [allow("kms:Decrypt", on=[key_id])])


def test_what_no_policy_allows_is_denied_in_the_words_of_the_service(
    clients: Clients, reader: AccessKey, key_id: str
) -> None:
    with refused("AccessDeniedException") as error:
        clients.make(reader).encrypt(KeyId=key_id, Plaintext=b"x")
    assert error["Message"] == (
        f"User: {reader.caller_arn} is not authorized to perform: kms:Encrypt on resource: "
        f"{key_id} because no identity-based policy allows the kms:Encrypt action"
    )


def test_an_explicit_deny_beats_an_allow(aws_kms: AwsKms, clients: Clients, key_id: str) -> None:
    policy = [allow("kms:*"), deny("kms:Encrypt", on=[key_id])]
    user = aws_kms.service.identities.add_user("denied", policy)

    with refused("AccessDeniedException") as error:
        clients.make(user).encrypt(KeyId=key_id, Plaintext=b"x")
    assert "with an explicit deny" in error["Message"]


def test_what_is_allowed_works_for_that_key_only(
    aws_kms: AwsKms, clients: Clients, kms: Any, reader: AccessKey, key_id: str
) -> None:
    other = aws_kms.service.create_key()
    mine = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    theirs = kms.encrypt(KeyId=other.arn, Plaintext=b"x")["CiphertextBlob"]
    client = clients.make(reader)

    assert client.decrypt(CiphertextBlob=mine)["Plaintext"] == b"x"
    with refused("AccessDeniedException") as error:
        client.decrypt(CiphertextBlob=theirs)
    assert "does not exist in this Region, no resource-based policies" in error["Message"]


def test_a_missing_key_and_a_forbidden_one_look_the_same(
    aws_kms: AwsKms, clients: Clients, reader: AccessKey
) -> None:
    forbidden = aws_kms.service.create_key()
    missing = forbidden.arn[:-12] + "000000000000"
    client = clients.make(reader)

    texts = []
    for arn in (forbidden.arn, missing):
        with refused("AccessDeniedException") as error:
            client.describe_key(KeyId=arn)
        texts.append(error["Message"].replace(arn, "ARN"))
    assert texts[0] == texts[1]


def test_a_key_of_another_account_is_denied(kms: Any, key_id: str) -> None:
    with refused("AccessDeniedException"):
        kms.describe_key(KeyId=key_id.replace("111122223333", "999988887777"))


def test_the_caller_is_told_who_it_is(aws_kms: AwsKms, clients: Clients, reader: AccessKey) -> None:
    identity = clients.make(reader, service="sts").get_caller_identity()

    assert identity["Arn"] == "arn:aws:iam::111122223333:user/reader"
    assert identity["Account"] == "111122223333"
    assert aws_kms.transcript.calls() == {"sts:GetCallerIdentity": 1}


@pytest.fixture
def session(aws_kms: AwsKms, clients: Clients, reader: AccessKey, key_id: str) -> dict[str, Any]:
    policy = [allow("kms:Encrypt", on=[key_id])]
    trusted = [reader.principal.arn]
    role = aws_kms.service.identities.add_role("app", policy, trusted=trusted)
    sts = clients.make(reader, service="sts")
    made = sts.assume_role(RoleArn=role.arn, RoleSessionName="test", DurationSeconds=900)
    assert made["AssumedRoleUser"]["Arn"].endswith(":assumed-role/app/test")
    credentials = made["Credentials"]
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


def test_an_assumed_role_has_the_permissions_of_the_role(
    clients: Clients, session: dict[str, Any], key_id: str
) -> None:
    kms = clients.make(**session)

    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("AccessDeniedException") as error:
        kms.describe_key(KeyId=key_id)
    assert ":assumed-role/app/test is not" in error["Message"]


def test_a_session_expires(
    aws_kms: AwsKms, clients: Clients, session: dict[str, Any], key_id: str
) -> None:
    aws_kms.clock.advance(901)

    with refused("ExpiredTokenException"):
        clients.make(**session).encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("ExpiredToken"):
        clients.make(service="sts", **session).get_caller_identity()


@pytest.mark.parametrize("token", [None, "other"])
def test_a_session_key_without_its_token_is_unrecognized(
    clients: Clients, session: dict[str, Any], key_id: str, token: str | None
) -> None:
    with refused("UnrecognizedClientException"):
        clients.make(**{**session, "aws_session_token": token}).list_aliases()


@pytest.mark.parametrize("role", ["app", "missing"])
def test_a_role_that_does_not_trust_is_denied(aws_kms: AwsKms, clients: Clients, role: str) -> None:
    aws_kms.service.identities.add_role("app", [], trusted=[])
    sts = clients.make(service="sts")

    with refused("AccessDenied"):
        sts.assume_role(RoleArn=f"arn:aws:iam::111122223333:role/{role}", RoleSessionName="test")


def test_sts_has_its_own_words(clients: Clients) -> None:
    with refused("InvalidClientTokenId"):
        clients.make(service="sts", aws_access_key_id="AKIANONE").get_caller_identity()
    with refused("SignatureDoesNotMatch") as error:
        clients.make(service="sts", aws_secret_access_key="wrong").get_caller_identity()
    assert error["status"] == 403
    with refused("InvalidAction"):
        clients.make(service="sts").get_session_token()
