"""Expect one documented error of a boto3 client."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError


@contextlib.contextmanager
def refused(code: str) -> Iterator[dict[str, Any]]:
    """Pass if the block raises that error; gives its Error structure afterwards."""
    found: dict[str, Any] = {}
    with pytest.raises(ClientError) as caught:
        yield found
    found.update(caught.value.response["Error"])
    found["status"] = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert found["Code"] == code, found
