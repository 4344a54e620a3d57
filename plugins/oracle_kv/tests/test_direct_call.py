"""The direct call is signed as Oracle's client signs, and has never another result."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import oci
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ksm_storage_oracle_kv.direct_call import credential_source, signed_headers
from ksm_storage_oracle_kv.hooks import NAMES, Access

from ksm_storage import errors
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import NotDirectError, WrappedDek, rsa_signature

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import KEY as SCRIPTED_KEY
from .scripted_vault import Answer, ScriptedVault
from .test_errors import TestReplies as Replies
from .test_wire import AES

DEK = bytes(range(32))
KEY = "ocid1.key.oc1.eu-frankfurt-1.vault.unique"
STARTING = """
import json, sys
from ksm_storage.plugin import WrappedDek
from tests.opening import AAD, open_kek
key, url, wrapped = json.loads(sys.argv[1])
wrapped = WrappedDek(wrapped[0], wrapped[1], bytes.fromhex(wrapped[2]))
assert open_kek(key, url).unwrap(wrapped, aad=AAD) == bytes(range(32))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"oci", "urllib3", "requests"}))
"""

PUBLISHED_KEY = """\
-----BEGIN RSA PRIVATE KEY-----
MIICXgIBAAKBgQDCFENGw33yGihy92pDjZQhl0C36rPJj+CvfSC8+q28hxA161QF
NUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6Z4UMR7EOcpfdUE9Hf3m/hs+F
UR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJwoYi+1hqp1fIekaxsyQIDAQAB
AoGBAJR8ZkCUvx5kzv+utdl7T5MnordT1TvoXXJGXK7ZZ+UuvMNUCdN2QPc4sBiA
QWvLw1cSKt5DsKZ8UETpYPy8pPYnnDEz2dDYiaew9+xEpubyeW2oH4Zx71wqBtOK
kqwrXa/pzdpiucRRjk6vE6YY7EBBs/g7uanVpGibOVAEsqH1AkEA7DkjVH28WDUg
f1nqvfn2Kj6CT7nIcE3jGJsZZ7zlZmBmHFDONMLUrXR/Zm3pR5m0tCmBqa5RK95u
412jt1dPIwJBANJT3v8pnkth48bQo/fKel6uEYyboRtA5/uHuHkZ6FQF7OUkGogc
mSJluOdc5t6hI1VsLn0QZEjQZMEOWr+wKSMCQQCC4kXJEsHAve77oP6HtG/IiEn7
kpyUXRNvFsDE0czpJJBvL/aRFUJxuRK91jhjC68sA7NsKMGg5OXb5I5Jj36xAkEA
gIT7aFOYBFwGgQAQkWNKLvySgKbAZRTeLBacpHMuQdl1DfdntvAyqpAZ0lY0RKmW
G6aFKaqQfOXKCyWoUiVknQJAXrlgySFci/2ueKlIE1QqIiLSZ8V8OlpFLRnb1pzI
7U1yQXnTAEFYM560yJlzUpOb1V4cScGd365tiSMvxLOvTA==
-----END RSA PRIVATE KEY-----
"""
PUBLISHED_TENANCY = (
    "ocid1.tenancy.oc1..aaaaaaaaba3pv6wkcr4jqae5f15p2b2m2yt2j6rx32uzr4h25vqstifsfdsq"
)
PUBLISHED_BODY = b"""{
    "compartmentId": "ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa",
    "instanceId": "ocid1.instance.oc1.phx.abuw4ljrlsfiqw6vzzxb43vyypt4pkodawglp3wqxjqofakrwvou52gb6s5a",
    "volumeId": "ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q"
}"""  # noqa: E501
PUBLISHED_SIGNATURE = (
    "Mje8vIDPlwIHmD/cTDwRxE7HaAvBg16JnVcsuqaNRim23fFPgQfLoOOxae6WqKb1uPjYEl0qIdazWaBy/Ml8DRhqlocMwoSX"
    "v0fbukP8J5N80LCmzT/FFBvIvTB91XuXI3hYfP9Zt1l7S6ieVadHUfqBedWH0itrtPJBgKmrWso="
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the lines of a profile with an API key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path_factory.mktemp("oci") / "key.pem"
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return {
        "user": "ocid1.user.oc1..u",
        "tenancy": "ocid1.tenancy.oc1..t",
        "fingerprint": "aa:bb",
        "key_file": str(path),
        "region": "eu-frankfurt-1",
    }


def test_a_request_is_signed_as_oracles_client_signs_it(
    config: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = oci.signer.Signer(
        tenancy=config["tenancy"],
        user=config["user"],
        fingerprint=config["fingerprint"],
        private_key_file_location=config["key_file"],
    )
    choose = random.Random(7)

    for _ in range(2000):
        body = choose.randbytes(choose.randrange(2000)).hex().encode()
        host = f"{choose.randbytes(6).hex()}-crypto.kms.eu-frankfurt-1.oraclecloud.com"
        signed = signed_headers(f"https://{host}/20180608/decrypt", body, *_key(config))
        request = SimpleNamespace(
            method="POST",
            url=f"https://{host}/20180608/decrypt",
            path_url="/20180608/decrypt",
            body=body,
            headers={
                "content-type": "application/json",
                "content-length": str(len(body)),
                "date": signed["date"],
                "host": host,
            },
        )
        signer.do_request_sign(request)

        assert signed["authorization"] == request.headers["authorization"]
        assert signed["x-content-sha256"] == request.headers["x-content-sha256"]


def test_the_published_vector_of_a_post_is_signed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Source: OCI documentation, "Request Signatures", "Test Values", with its public test key and
    # its weekday, which is not that of the date.
    (tmp_path / "key.pem").write_text(PUBLISHED_KEY)
    monkeypatch.setattr(
        "ksm_storage_oracle_kv.direct_call.formatdate",
        lambda usegmt: "Thu, 05 Jan 2014 21:31:40 GMT",
    )
    given = {
        "tenancy": PUBLISHED_TENANCY,
        "user": "ocid1.user.oc1..aaaaaaaat5nvwcna5j6aqzjcaty5eqbb6qt2jvpkanghtgdaqedqw3rynjq",
        "fingerprint": "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34",
        "key_file": str(tmp_path / "key.pem"),
    }

    url = "https://iaas.us-phoenix-1.oraclecloud.com/20160918/volumeAttachments"
    signed = signed_headers(url, PUBLISHED_BODY, *_key(given))

    assert signed["content-length"] == "316"
    assert signed["x-content-sha256"] == "V9Z20UJTvkvpJ50flBzKE32+6m2zJjweHpDMX/U4Uy0="
    assert f'signature="{PUBLISHED_SIGNATURE}"' in signed["authorization"]


def test_the_date_is_in_english_in_a_program_that_speaks_another_language(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, str]
) -> None:
    strftime = time.strftime
    # As after locale.setlocale(LC_TIME, "de_DE"), which machines for tests do not have.
    monkeypatch.setattr(
        "time.strftime", lambda form, *when: strftime(re.sub("%[ab]", "Dez", form), *when)
    )

    signed = signed_headers("https://h", b"", *_key(config))

    assert signed["date"][:16] == formatdate(usegmt=True)[:16]


def test_the_date_is_that_of_rfc_9110(config: dict[str, str]) -> None:
    signed = signed_headers("https://h", b"", *_key(config))

    assert signed["date"][:16] == formatdate(usegmt=True)[:16]
    assert signed["date"].endswith(" GMT")


def started(key: str, emulator: EmulatedVault, wrapped: WrappedDek) -> str:
    """Unwrap in a new process, and return which of the client's modules it has imported."""
    given = wrapped.key_id, wrapped.algorithm, wrapped.ciphertext.hex()
    return subprocess.run(
        [sys.executable, "-c", STARTING, json.dumps([key, emulator.url, given])],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize("algorithm", ["AES", "RSA"])
def test_a_start_makes_one_request_and_imports_no_oracle_client(
    emulator: EmulatedVault, algorithm: str
) -> None:
    key = emulator.create_key() if algorithm == "AES" else emulator.create_key(algorithm="RSA")
    more = {} if algorithm == "AES" else {"algorithm": "RSA_OAEP_SHA_256"}
    with open_kek(key, emulator.url, **more) as kek:
        made = kek.wrap(DEK, aad=AAD)
    emulator.emulator.transcript.reset()

    assert started(key, emulator, made) == ""
    assert emulator.calls() == 1


@pytest.mark.parametrize(
    "fault",
    [
        *("disabled", "pending deletion", "denied", "unknown caller", "throttled", "failing"),
        *("dropped", "cut off", "wrong checksum", "wrong key"),
    ],
)
def test_a_failure_is_the_same_error_as_the_client_makes_alone(
    emulator: EmulatedVault, fault: str
) -> None:
    key = emulator.create_key()
    with open_kek(key, emulator.url) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    told = []

    for is_direct in (True, False):
        with (
            emulator.provoked(fault, key),
            open_kek(key, emulator.url, direct_call=is_direct, deadline=2.0) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(wrapped, aad=AAD)
        error = caught.value.as_dict()
        error.pop("request_id", None)
        told.append((type(caught.value), error))

    assert told[0] == told[1]


# Each row of the error table, and each reply that is not believed.
ROWS: Mapping[str, Answer] = {
    **{code: answer for code, (answer, _) in Replies.refusals.items()},
    **{f"not read: {name}": answer for name, answer in Replies.unreadable_deks.items()},
    **{f"not believed: {name}": answer for name, answer in Replies.foreign_deks.items()},
}


@pytest.mark.parametrize("row", ROWS)
def test_a_reply_is_the_same_error_as_the_client_makes_of_it_alone(
    scripted: ScriptedVault, row: str
) -> None:
    scripted.answer = ROWS[row]
    told = []

    for is_direct in (True, False):
        with (
            open_kek(SCRIPTED_KEY, scripted.url, direct_call=is_direct, deadline=0.8) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(AES, aad=AAD)
        told.append((type(caught.value), caught.value.as_dict()))

    assert told[0] == told[1]


def test_a_profile_with_an_api_key_is_used(
    config: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, monkeypatch, config)

    assert credential_source(NAMES.parse(KEY), access()) == "the API key aa:bb"


@pytest.mark.parametrize(
    ("lines", "settings", "variables", "key"),
    [
        ({"security_token_file": "/token"}, {}, {}, KEY),
        ({"authentication_type": "instance_principal"}, {}, {}, KEY),
        ({"pass_phrase": "p"}, {}, {}, KEY),
        ({"log_requests": "true"}, {}, {}, KEY),
        ({"user": ""}, {"profile": "OTHER"}, {}, KEY),
        ({}, {"passphrase": "p"}, {}, KEY),
        ({}, {"credential": "security-token"}, {}, KEY),
        ({}, {"credential": "resource-principal"}, {}, KEY),
        ({}, {"credential": "oke-workload"}, {}, KEY),
        ({}, {"direct_call": "false"}, {}, KEY),
        ({}, {"endpoint": "https://vault.example/path"}, {}, KEY),
        ({}, {}, {"OCI_REGION_METADATA": "{}"}, KEY),
        ({}, {}, {"OCI_DEFAULT_REALM": "oraclegovcloud.com"}, KEY),
        ({}, {}, {}, KEY.replace(".oc1.", ".oc2.")),
        ({}, {}, {}, KEY.replace("eu-frankfurt-1", "xyz")),
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_client(
    config: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: dict[str, str],
    settings: dict[str, str],
    variables: dict[str, str],
    key: str,
) -> None:
    _write(tmp_path, monkeypatch, {**config, **lines})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(NotDirectError):
        credential_source(NAMES.parse(key), access(**settings))


def _key(config: Mapping[str, str]) -> tuple[str, Callable[[bytes], bytes]]:
    pem = Path(config["key_file"]).read_bytes()
    name = f"{config['tenancy']}/{config['user']}/{config['fingerprint']}"
    return name, lambda text: rsa_signature(pem, text)


def _write(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    (folder / "config").write_text(f"[DEFAULT]\n{text}")
    monkeypatch.setenv("OCI_CONFIG_FILE", str(folder / "config"))


def access(**settings: str) -> Access:
    options = find_plugin("oracle-kv").options()
    return Access.from_settings(
        gather_settings(KeyUri("oracle-kv", KEY), options, {"oracle-kv": settings})
    )
