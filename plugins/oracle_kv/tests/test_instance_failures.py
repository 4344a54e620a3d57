"""An instance's failures are those of Oracle's client alone, and show no secret."""

from __future__ import annotations

import base64
import json
import logging
import random
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from ksm_storage_emulators.faults import FaultKind
from oci.auth.auth_utils import get_tenancy_id_from_certificate

from ksm_storage import errors
from ksm_storage.testing.loopback import SilentServer
from ksm_storage.testing.scripted_server import Answer, Request, ScriptedServer
from ksm_storage.testing.traces import encodings_of, holders_of

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import KEY, REQUEST_ID, refusal, unwrapped
from .test_direct_call import DEK, ROWS
from .test_errors import TestReplies as Replies
from .test_instance_principal import DECRYPT, IDENTITY, METADATA, wrapped_dek
from .test_wire import AES

TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "RS256"}, {"sub": "canary", "exp": 2_000_000_000}, "canary-signature")
)


class ScriptedInstance(ScriptedServer[Request]):
    """Answer as an instance's services do, but for the paths that a test changes."""

    def __init__(self, files: Mapping[str, Answer]) -> None:
        headers = {"Content-Type": "application/json", "opc-request-id": REQUEST_ID}
        super().__init__(Answer(404), read=lambda request: request, headers=headers)
        self._intermediate = files[f"{METADATA}/identity/intermediate.pem"].body
        self.by_path = {
            **files,
            IDENTITY: Answer(body=json.dumps({"token": TOKEN}).encode()),
            DECRYPT: unwrapped(),
        }
        self.settings: dict[str, object] = {
            "credential": "instance-principal",
            "federation_endpoint": f"{self.url}{IDENTITY}",
            # No retry fits into an attempt's time.
            "deadline": 9.0,
        }

    def reply_to(self, request: Request) -> Answer:
        self.answer = self.by_path.get(request.path, Answer(404))
        if request.path == IDENTITY and not self._is_complete(request):
            self.answer = refusal("NotAuthenticated", status=401)
        return super().reply_to(request)

    def _is_complete(self, request: Request) -> bool:
        sent: object = json.loads(request.body)["intermediateCertificates"]
        return sent == ["".join(self._intermediate.decode().split("\n")[1:-2])]


@pytest.fixture
def scripted_instance(
    emulator: EmulatedVault, instance: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedInstance]:
    """Run the server, with the files of an emulated instance."""
    with open_kek(emulator.create_key(), emulator.url, direct_call=False, **instance) as kek:
        kek.wrap(DEK, aad=AAD)
    files = {
        each.target: Answer(body=each.reply_body)
        for each in emulator.emulator.transcript.exchanges()
        if each.method == "GET"
    }
    server = ScriptedInstance(files)
    with server:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{server.url}{METADATA}")
        yield server


# What the metadata service and the identity service may answer instead.
WRONG: Mapping[str, tuple[str, Answer]] = {
    **{
        f"{name}.pem: {what}": (f"{METADATA}/identity/{name}.pem", answer)
        for name in ("cert", "key", "intermediate")
        for what, answer in {
            "missing": Answer(404, b"not found"),
            "refused": refusal("NotAuthenticated", status=401),
            "empty": Answer(body=b""),
            "garbage": Answer(body=b"canary"),
            "no text": Answer(body=b"\xff\xfe"),
        }.items()
    },
    "cert.pem: redirect": (
        f"{METADATA}/identity/cert.pem",
        Answer(302, b"", {"Location": "http://127.0.0.1:1/"}),
    ),
    **{
        f"identity: {what}": (IDENTITY, answer)
        for what, answer in {
            "refused": refusal("NotAuthenticated", status=401),
            "denied": refusal("NotAuthorizedOrNotFound", status=404),
            "throttled": refusal("TooManyRequests", status=429),
            "failing": refusal("InternalServerError", status=500),
            "no token": Answer(body=b"{}"),
            "a token that is none": Answer(body=b'{"token": null}'),
            "a token in another form": Answer(body=b'{"token": ["canary"]}'),
            "no JSON": Answer(body=b"<html>"),
            "no object": Answer(body=b"[]"),
            "no reply": Answer(body=b"", missing_bytes=9),
            "redirect": Answer(307, b"", {"Location": "http://127.0.0.1:1/"}),
        }.items()
    },
}
# Oracle's client tries these again until the time for credentials is over.
RETRIED = ("cert.pem: redirect", "identity: throttled", "identity: failing", "identity: redirect")


class TestFailures:
    """Every failure is that of Oracle's client."""

    @pytest.mark.parametrize("row", WRONG)
    def test_a_failed_sign_in_is_the_same_error_as_the_client_makes_of_it_alone(
        self, scripted_instance: ScriptedInstance, row: str
    ) -> None:
        path, answer = WRONG[row]
        scripted_instance.by_path[path] = answer
        if row in RETRIED:
            scripted_instance.settings["credential_timeout"] = 0.4

        told = [_told(scripted_instance, is_direct=is_direct) for is_direct in (True, False)]

        assert told[0] == told[1]

    @pytest.mark.parametrize("row", Replies.refusals)
    def test_a_reply_is_the_same_error_as_the_client_makes_of_it_alone(
        self, scripted_instance: ScriptedInstance, row: str
    ) -> None:
        scripted_instance.by_path[DECRYPT] = ROWS[row]

        told = [_told(scripted_instance, is_direct=is_direct) for is_direct in (True, False)]

        assert told[0] == told[1]

    def test_a_certificate_without_a_tenancy_is_left_to_the_client(
        self, scripted_instance: ScriptedInstance
    ) -> None:
        path = f"{METADATA}/identity/cert.pem"
        changed = _renamed(scripted_instance.by_path[path].body)
        scripted_instance.by_path[path] = Answer(body=changed)

        told = [_told(scripted_instance, is_direct=is_direct) for is_direct in (True, False)]

        assert told[0] == told[1]

    @pytest.mark.parametrize("operation", ["cert.pem", "x509", "Decrypt"])
    def test_a_failure_that_passes_is_none(
        self,
        emulator: EmulatedVault,
        instance: dict[str, object],
        operation: str,
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        named = operation if operation == "Decrypt" else f"instance:{operation}"
        emulator.emulator.faults.add(FaultKind.DROP, operation=named, times=1)

        with open_kek(key, emulator.url, **instance) as kek:
            assert kek.unwrap(wrapped, aad=AAD) == DEK

    @pytest.mark.parametrize("silent", ["metadata", "identity", "vault"])
    def test_a_silent_service_is_given_up_within_the_deadline(
        self,
        emulator: EmulatedVault,
        instance: dict[str, object],
        monkeypatch: pytest.MonkeyPatch,
        silent: str,
    ) -> None:
        with SilentServer() as server:
            if silent == "metadata":
                monkeypatch.setenv("OCI_METADATA_BASE_URL", server.url)
            if silent == "identity":
                instance["federation_endpoint"] = server.url
            url = server.url if silent == "vault" else emulator.url
            with open_kek(KEY, url, deadline=0.6, **instance) as kek:
                started = time.monotonic()
                with pytest.raises(errors.UnavailableError):
                    kek.unwrap(AES, aad=AAD)

        assert time.monotonic() - started < 1.5

    def test_a_silent_metadata_service_is_left_to_the_client_after_half_of_the_time(
        self, instance: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        instance["credential_timeout"] = 0.4
        with SilentServer() as server:
            monkeypatch.setenv("OCI_METADATA_BASE_URL", server.url)
            with open_kek(KEY, server.url, **instance) as kek:
                started = time.monotonic()
                with pytest.raises(errors.UnavailableError, match="not obtained in time"):
                    kek.unwrap(AES, aad=AAD)

        assert 0.5 <= time.monotonic() - started < 1.5


@pytest.mark.parametrize("kind", ["opc-tenant", "opc-identity"])
@pytest.mark.parametrize("length", [1, 49, 91, 113])
@pytest.mark.parametrize("form", [_ASN1Type.UTF8String, _ASN1Type.PrintableString])
def test_the_owner_of_a_certificate_is_whom_oracles_client_finds(
    scripted_instance: ScriptedInstance, kind: str, length: int, form: _ASN1Type
) -> None:
    # Zeros and ones are also the bytes that may follow a name in a certificate.
    names = [f"{kind}:{'10' * length}"[: len(kind) + 1 + length], "opc-certtype:instance", "01"]
    certificate = _certificate(random.Random(length).sample(names, 3), form)
    pem = certificate.public_bytes(Encoding.PEM)
    scripted_instance.by_path[f"{METADATA}/identity/cert.pem"] = Answer(body=pem)

    with open_kek(KEY, scripted_instance.url, **scripted_instance.settings) as kek:
        kek.unwrap(AES, aad=AAD)

    (asked,) = (each for each in scripted_instance.asked if each.path == IDENTITY)
    owner = get_tenancy_id_from_certificate(certificate)
    digest = certificate.fingerprint(SHA1()).hex(":").upper()  # as clients name it
    assert f'keyId="{owner}/fed-x509/{digest}"' in asked.headers["authorization"]
    # By the direct call: the client asks for it twice.
    assert len(scripted_instance.asked) == 5


@pytest.mark.parametrize("fails", [False, True], ids=["opened", "refused"])
def test_no_key_and_no_token_is_shown(
    scripted_instance: ScriptedInstance,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    made: list[rsa.RSAPrivateKey] = []
    generate = rsa.generate_private_key

    def generated(*given: int) -> rsa.RSAPrivateKey:
        made.append(generate(*given))
        return made[-1]

    monkeypatch.setattr(rsa, "generate_private_key", generated)
    if fails:
        scripted_instance.by_path[DECRYPT] = refusal("NotAuthorizedOrNotFound", status=404)
    error: errors.KsmStorageError | None = None
    owned = scripted_instance.by_path[f"{METADATA}/identity/key.pem"].body

    with (
        caplog.at_level(1),
        open_kek(KEY, scripted_instance.url, **scripted_instance.settings) as kek,
    ):
        try:
            kek.unwrap(AES, aad=AAD)
        except errors.KsmStorageError as exc:
            error = exc
        logging.getLogger(__name__).debug("%r", kek)
        client = kek._wrapper._client  # type: ignore[attr-defined]  # what a debugger prints
        shown = repr(client.access) + repr(vars(client._held))

    said = capfd.readouterr()
    shown += caplog.text + said.out + said.err
    assert (error is not None) is fails
    if error is not None:
        shown += "".join(traceback.format_exception(error)) + repr(error.as_dict())
    signature = TOKEN.rpartition(".")[2]
    # It was used.
    assert any(
        signature in asked.headers.get("authorization", "") for asked in scripted_instance.asked
    )
    numbers = [key.private_numbers() for key in made]
    secrets = [part.to_bytes(256, "big") for each in numbers for part in (each.d, each.p)]
    assert made
    assert [text for secret in secrets for text in encodings_of(secret) if text in shown] == []
    assert signature not in shown
    assert owned.split(b"\n")[5].decode() not in shown
    if error is not None:
        assert holders_of(error, owned.split(b"\n")[5]) == []


def _told(
    server: ScriptedInstance, *, is_direct: bool, **settings: object
) -> tuple[type[errors.KsmStorageError], object]:
    given = {**server.settings, **settings}
    with (
        open_kek(KEY, server.url, direct_call=is_direct, **given) as kek,
        pytest.raises(errors.KsmStorageError) as caught,
    ):
        kek.unwrap(AES, aad=AAD)
    return type(caught.value), caught.value.as_dict()


def _renamed(pem: bytes) -> bytes:
    begin, *lines, end = pem.strip().splitlines()
    der = base64.b64decode(b"".join(lines)).replace(b"opc-tenant:", b"opc-nobody:")
    return b"\n".join([begin, base64.b64encode(der), end])


def _certificate(units: Sequence[str], form: _ASN1Type) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    subject = x509.Name([x509.NameAttribute(unit, text, form, _validate=False) for text in units])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opc-tenant:issuer")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
