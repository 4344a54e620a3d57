"""No request makes the server hold more than it announces."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest
from ksm_storage_local_vault.testing import LocalVault


@pytest.mark.parametrize("path", ["/api/rest/sm/v1/get_secret", "/files"])
@pytest.mark.parametrize("announced", [None, "10"])
def test_chunks_are_refused_whatever_is_announced(
    vault: LocalVault, path: str, announced: str | None
) -> None:
    context = ssl.create_default_context(cafile=vault.ca_file)
    connection = http.client.HTTPSConnection(vault.address, context=context, timeout=30)
    connection.putrequest("POST", path)
    connection.putheader("Transfer-Encoding", "chunked")
    if announced is not None:
        connection.putheader("Content-Length", announced)
    connection.endheaders()
    connection.send(b"14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n")

    answer = connection.getresponse()

    assert answer.status == 400
    reason = json.loads(answer.read())["additional_info"]
    assert reason == "the request does not announce its length"
