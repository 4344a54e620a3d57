"""What somebody sends to the server writes no line of its log."""

from __future__ import annotations

import http.client
import ssl

from ksm_storage_local_vault.testing import LocalVault


def test_a_path_is_logged_as_it_was_sent(vault: LocalVault) -> None:
    context = ssl.create_default_context(cafile=vault.ca_file)
    connection = http.client.HTTPSConnection(vault.address, context=context, timeout=30)

    connection.request("GET", "/files/%0AINVENTED%1B%5B31m?seal=canary")
    connection.getresponse().read()

    log = vault.log_file.read_bytes()
    assert b"GET /files/%0AINVENTED%1B%5B31m 4" in log
    assert b"\nINVENTED" not in log
    assert b"canary" not in log
