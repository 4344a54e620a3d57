"""No request makes the server hold more than it announces."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl

import pytest
from ksm_storage_local_vault.testing import LocalVault


@pytest.mark.parametrize("announced", [None, "10"])
def test_a_signed_request_in_chunks_is_refused_whatever_is_announced(
    vault: LocalVault, announced: str | None
) -> None:
    connection = chunked(vault, "/api/rest/sm/v1/get_secret", announced)
    connection.send(b"14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n")

    answer = connection.getresponse()

    assert answer.status == 400
    reason = json.loads(answer.read())["additional_info"]
    assert reason == "the request does not announce its length"


def test_an_upload_in_chunks_has_an_end(vault: LocalVault) -> None:
    # The SDK for JavaScript sends uploads so.
    connection = chunked(vault, "/files", None)
    head = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    connection.send(b"%x\r\n%s\r\n" % (len(head), head))
    piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"

    # The server answers, and stops reading, once there is more than a file may have.
    with contextlib.suppress(OSError):
        for _ in range(102):
            connection.send(piece)
        connection.send(b"0\r\n\r\n")
    answer = connection.getresponse()

    assert (answer.status, json.loads(answer.read())["error"]) == (413, "bad_request")


def chunked(vault: LocalVault, path: str, announced: str | None) -> http.client.HTTPSConnection:
    """Begin a request in chunks."""
    context = ssl.create_default_context(cafile=vault.ca_file)
    connection = http.client.HTTPSConnection(vault.address, context=context, timeout=30)
    connection.putrequest("POST", path)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    if announced is not None:
        connection.putheader("Content-Length", announced)
    connection.endheaders()
    return connection
