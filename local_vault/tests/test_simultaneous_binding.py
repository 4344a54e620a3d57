"""Several processes hold the same one-time token and use it at the same instant."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, SampleContent

from ksm_storage import open_storage
from ksm_storage.providers.key_file import write_key_file

RIVALS = 5

# Connects first, so that only the request itself is left to do when the word is given.
RIVAL = """
import http.client, json, ssl, sys
from ksm_storage.wire.base64_forms import from_base64, to_base64
from ksm_storage.wire.keys import public_point_of
from ksm_storage.wire.keys import client_id_from_token, new_private_key
from ksm_storage.wire.signed_request import make_request, signer

address, ca_file, token, key, key_id = sys.argv[1:]
mine = new_private_key()
payload = {"clientVersion": "mp17.3.0", "clientId": client_id_from_token(from_base64(token)),
           "publicKey": to_base64(public_point_of(mine))}
request, _ = make_request(json.dumps(payload).encode(), sign=signer(mine),
                          server_public_key=from_base64(key), public_key_id=key_id)
host, _, port = address.rpartition(":")
context = ssl.create_default_context(cafile=ca_file)
connection = http.client.HTTPSConnection(host, int(port), timeout=30, context=context)
connection.connect()
print("ready", flush=True)
sys.stdin.readline()
connection.request("POST", "/api/rest/sm/v1/get_secret", request.body, request.headers())
response = connection.getresponse()
body = response.read()
print(response.status, "" if response.status == 200 else json.loads(body)["message"], flush=True)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_exactly_one_of_them_wins(
    vault: LocalVault, filled: SampleContent, tmp_path: Path, attempt: int
) -> None:
    script = tmp_path / "rival.py"
    script.write_text(RIVAL)
    client = vault.new_client()
    command = [sys.executable, str(script), vault.address, vault.ca_file, client.token]
    command += [vault.server_public_key, vault.server_public_key_id]
    rivals = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(RIVALS)
    ]

    for rival in rivals:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    said = Counter(rival.communicate(timeout=30)[0].strip() for rival in rivals)

    assert said == {"200": 1, "403 One-time token is already redeemed": RIVALS - 1}


SHARER = """
import sys, ksm_storage
from ksm_storage.engine import SecretsManager

path, key, address, ca_file, token, server_key, key_id = sys.argv[1:]
storage = ksm_storage.open_storage(path, keys=[key])
print("ready", flush=True)
sys.stdin.readline()
manager = SecretsManager(token, address, config=storage, server_public_key=server_key,
                         server_public_key_id=key_id, ca_file=ca_file)
print(len(manager.get_secrets()) > 0, flush=True)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_share_a_configuration_share_the_bind(
    vault: LocalVault, filled: SampleContent, tmp_path: Path, attempt: int
) -> None:
    script, key_file = tmp_path / "sharer.py", tmp_path / "k.key"
    script.write_text(SHARER)
    write_key_file(str(key_file))
    path, key = str(tmp_path / "c.json"), f"key-file://{key_file}"
    command = [sys.executable, str(script), path, key, vault.address, vault.ca_file]
    command += [vault.new_client().token, vault.server_public_key, vault.server_public_key_id]
    sharers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    for sharer in sharers:
        assert sharer.stdout is not None
        assert sharer.stdout.readline() == "ready\n"
    for sharer in sharers:
        assert sharer.stdin is not None
        sharer.stdin.write("go\n")
        sharer.stdin.flush()
    said = [sharer.communicate(timeout=60)[0].strip() for sharer in sharers]

    assert said == ["True"] * 3
    assert {"clientId", "privateKey", "appKey"} <= set(open_storage(path).read_storage())
