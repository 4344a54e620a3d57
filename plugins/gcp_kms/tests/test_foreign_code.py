"""An executable that fetches a foreign token gets nothing of our standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .emulated_kms import EmulatedKms

WRAPPING = """
import json, sys
from opening import AAD, open_kek
key, settings = sys.argv[1], json.loads(sys.argv[2])
try:
    open_kek(key, settings).wrap(bytes(32), aad=AAD)
except Exception as exc:
    print(type(exc).__name__, exc)
print("left:", sys.stdin.read())
"""


@pytest.mark.parametrize("impersonates", [False, True])
def test_an_executable_reads_nothing_of_our_standard_input(
    impersonates: bool, kms: EmulatedKms, tmp_path: Path
) -> None:
    read, program = tmp_path / "read", tmp_path / "program.py"
    program.write_text(
        "import pathlib, os, sys\n"
        f"pathlib.Path({str(read)!r}).write_text(repr(sys.stdin.read()))\n"
        "print(os.getsid(0) == os.getpid())\n"
    )
    file = tmp_path / "federated.json"
    source = {"executable": {"command": f"{sys.executable} {program}", "timeout_millis": 5000}}
    account = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam:generateAccessToken"
    file.write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/projects/1/locations/global/"
                "workloadIdentityPools/p/providers/x",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": source,
                **({"service_account_impersonation_url": account} if impersonates else {}),
            }
        )
    )
    settings = {
        **{name: value for name, value in kms.settings.items() if name != "credential"},
        "credentials_file": str(file),
    }

    ran = subprocess.run(
        [sys.executable, "-c", WRAPPING, kms.create_key().name, json.dumps(settings)],
        cwd=Path(__file__).parent,
        env={**os.environ, "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"},
        check=True,
        capture_output=True,
        input="piped-secret\n",
        text=True,
        timeout=30,
    )

    assert read.read_text() == "''"
    assert ran.stdout.startswith("AuthenticationError ")
    assert ran.stdout.endswith("left: piped-secret\n\n")
