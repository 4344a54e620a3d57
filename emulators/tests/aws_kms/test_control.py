"""Callers made over the control endpoint."""

import http.client
import json
from typing import Any

import pytest

from .conftest import AwsKms, Clients
from .refusal import refused


def control(emulator: AwsKms, name: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.address.port, timeout=3)
    connection.request("POST", f"/_emulator/service/{name}", json.dumps(body))
    reply = connection.getresponse()
    raw = reply.read()
    connection.close()
    return reply.status, json.loads(raw) if raw else None


def test_a_user_made_over_the_wire_may_what_its_policy_says(
    aws_kms: AwsKms, clients: Clients, key_id: str
) -> None:
    policy = [{"effect": "Allow", "actions": ["kms:DescribeKey"]}]

    user = control(aws_kms, "users", {"name": "ci", "statements": policy})[1]

    kms = clients.make(
        aws_access_key_id=user["access_key_id"], aws_secret_access_key=user["secret_access_key"]
    )
    kms.describe_key(KeyId=key_id)
    assert control(aws_kms, "statements", {"arn": user["arn"], "statements": []})[0] == 204
    with refused("AccessDeniedException"):
        kms.describe_key(KeyId=key_id)


def test_a_role_made_over_the_wire_can_be_assumed(aws_kms: AwsKms, clients: Clients) -> None:
    trusted = [aws_kms.service.administrator.principal.arn]

    role = control(aws_kms, "roles", {"name": "r", "statements": [], "trusted": trusted})[1]

    clients.make(service="sts").assume_role(RoleArn=role["arn"], RoleSessionName="test")


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("users", {"name": "x", "statements": [{"effect": "Maybe", "actions": []}]}, 400),
        ("users", {"name": "x"}, 400),
        ("statements", {"arn": "arn:none", "statements": []}, 400),
        ("gremlins", {}, 404),
    ],
)
def test_nonsense_is_refused(aws_kms: AwsKms, name: str, body: Any, status: int) -> None:
    assert control(aws_kms, name, body)[0] == status
