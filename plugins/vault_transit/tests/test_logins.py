"""Each login, at the real server: how a token is had, kept, renewed and given up."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ksm_storage.plugin import (
    AuthenticationError,
    PermissionDeniedError,
    SettingsError,
    UnavailableError,
)

from .grants import Grant, round_trips
from .openbao import OpenBao, binary
from .opening import AAD, new_dek, opened

Settings = Mapping[str, object]


@pytest.fixture
def approle(grant: Grant) -> Settings:
    bao, role = grant.bao, f"auth/approle/role/{grant.name}"
    _enable(bao, "approle")
    bao.ask("POST", role, {"token_policies": grant.policy, "token_ttl": "1h"})
    return {
        "credential": "approle",
        "role_id": bao.ask("GET", f"{role}/role-id")["data"]["role_id"],
        "secret_id": bao.ask("POST", f"{role}/secret-id", {})["data"]["secret_id"],
    }


def test_an_approle_logs_in_once(grant: Grant, approle: Settings) -> None:
    key = grant.opened(**approle)
    before = grant.bao.requests("auth/approle/login")

    assert round_trips(key)
    assert round_trips(key)
    assert grant.bao.requests("auth/approle/login") == before + 1


def test_a_secret_id_is_read_from_a_file(grant: Grant, approle: Settings, tmp_path: Path) -> None:
    file = tmp_path / "secret-id"
    file.write_text(f"{approle['secret_id']}\n")
    settings = {name: value for name, value in approle.items() if name != "secret_id"}

    assert round_trips(grant.opened(**settings, secret_id_file=str(file)))


def test_a_wrong_secret_id_is_an_authentication_error(grant: Grant, approle: Settings) -> None:
    key = grant.opened(**{**approle, "secret_id": "00000000-0000-0000-0000-000000000000"})

    with pytest.raises(AuthenticationError, match="refused the login"):
        round_trips(key)


def test_a_wrapped_secret_id_is_refused_and_stays_usable(grant: Grant, approle: Settings) -> None:
    wrapped = grant.bao.ask(
        "POST",
        f"auth/approle/role/{grant.name}/secret-id",
        {},
        headers={"X-Vault-Wrap-TTL": "60s"},
    )["wrap_info"]["token"]

    with pytest.raises(SettingsError, match="secret id is a response-wrapping token") as caught:
        round_trips(grant.opened(**{**approle, "secret_id": wrapped}))

    assert "vault unwrap -field=secret_id" in str(caught.value.hint)
    assert grant.bao.ask("POST", "sys/wrapping/unwrap", token=wrapped)["data"]["secret_id"]


def test_a_revoked_login_is_made_again_once(grant: Grant, approle: Settings) -> None:
    key = grant.opened(**approle)
    assert round_trips(key)
    before = grant.bao.requests("auth/approle/login")

    grant.bao.ask("POST", "sys/leases/revoke-prefix/auth/approle/login")

    assert round_trips(key)
    assert grant.bao.requests("auth/approle/login") == before + 1


def test_a_login_is_renewed_when_two_thirds_of_it_are_over(grant: Grant, approle: Settings) -> None:
    grant.bao.ask("POST", f"auth/approle/role/{grant.name}", {"token_ttl": "3s"})
    key = grant.opened(**approle)
    assert round_trips(key)
    logins = grant.bao.requests("auth/approle/login")
    renewals = grant.bao.requests("auth/token/renew-self")

    time.sleep(2.1)

    assert round_trips(key)
    assert grant.bao.requests("auth/token/renew-self") == renewals + 1
    assert grant.bao.requests("auth/approle/login") == logins


def test_a_login_whose_policy_does_not_grant_the_key_is_not_repeated(
    grant: Grant, approle: Settings
) -> None:
    grant.bao.ask("POST", f"auth/approle/role/{grant.name}", {"token_policies": "default"})
    before = grant.bao.requests("auth/approle/login")

    with pytest.raises(PermissionDeniedError):
        grant.opened(**approle).wrap(new_dek(), aad=AAD)

    assert grant.bao.requests("auth/approle/login") == before + 1


def test_a_method_that_is_not_mounted_is_an_authentication_error(
    grant: Grant, approle: Settings
) -> None:
    with pytest.raises(AuthenticationError, match="refused the login") as caught:
        round_trips(grant.opened(**approle, auth_mount="elsewhere"))

    assert "auth_mount" in str(caught.value.hint)


# JSON web tokens.


@pytest.fixture(scope="module")
def issuer() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_json_web_token_logs_in(grant: Grant, issuer: ec.EllipticCurvePrivateKey) -> None:
    settings = _jwt_login(grant, issuer)

    assert round_trips(grant.opened(**settings, jwt=_signed(issuer, {"sub": "payments"})))


def test_a_json_web_token_of_somebody_else_is_an_authentication_error(
    grant: Grant, issuer: ec.EllipticCurvePrivateKey
) -> None:
    settings = _jwt_login(grant, issuer)
    token = _signed(issuer, {"sub": "somebody-else"})

    with pytest.raises(AuthenticationError, match="refused the login") as caught:
        round_trips(grant.opened(**settings, jwt=token))

    # The server quotes the claims.
    assert "somebody-else" not in repr(caught.value.__cause__)


def _jwt_login(grant: Grant, issuer: ec.EllipticCurvePrivateKey) -> Settings:
    _enable(grant.bao, "jwt")
    public = issuer.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    grant.bao.ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": public.decode()})
    grant.bao.ask(
        "POST",
        f"auth/jwt/role/{grant.name}",
        {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": "vault",
            "bound_subject": "payments",
            "policies": grant.policy,
        },
    )
    return {"credential": "jwt", "role": grant.name}


# Kubernetes: the server is real, the cluster is one that answers reviews of tokens.


def test_a_pod_logs_in_with_its_service_account(grant: Grant, tmp_path: Path) -> None:
    file = tmp_path / "token"
    with _cluster() as url:
        _enable(grant.bao, "kubernetes")
        grant.bao.ask(
            "POST",
            "auth/kubernetes/config",
            {
                "kubernetes_host": url,
                "token_reviewer_jwt": "reviewer",
                "disable_local_ca_jwt": True,
                "kubernetes_ca_cert": "-",
            },
        )
        grant.bao.ask(
            "POST",
            f"auth/kubernetes/role/{grant.name}",
            {
                "bound_service_account_names": "payments",
                "bound_service_account_namespaces": "prod",
                "policies": grant.policy,
            },
        )
        settings = {"credential": "kubernetes", "role": grant.name, "jwt_file": str(file)}
        file.write_text(_service_account("payments"))
        assert round_trips(grant.opened(**settings))

        file.write_text(_service_account("somebody-else"))
        with pytest.raises(AuthenticationError):
            round_trips(grant.opened(**settings))


def _service_account(name: str) -> str:
    claims = {
        "iss": "kubernetes/serviceaccount",
        "aud": ["vault"],
        "kubernetes.io/serviceaccount/namespace": "prod",
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": "uid-1",
        "kubernetes.io/serviceaccount/secret.name": "secret",
    }
    return _signed(ec.generate_private_key(ec.SECP256R1()), claims)


@contextmanager
def _cluster() -> Iterator[str]:
    class Reviews(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            user = {"username": "system:serviceaccount:prod:payments", "uid": "uid-1"}
            review = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "status": {"authenticated": True, "user": user, "audiences": ["vault"]},
            }
            body = json.dumps(review).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Reviews) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# An agent.


def test_an_agent_at_a_socket_adds_its_own_token(
    grant: Grant, approle: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _agent(grant.bao, approle, tmp_path) as socket:
        settings = {"credential": "agent", "agent_socket": socket}
        assert round_trips(opened(grant.key_id, settings))

        monkeypatch.setenv("BAO_AGENT_ADDR", f"unix://{socket}")
        assert round_trips(opened(grant.key_id, {"credential": "agent"}))

    with pytest.raises(UnavailableError, match="cannot connect to the agent"):
        round_trips(opened(grant.key_id, settings))


@contextmanager
def _agent(bao: OpenBao, approle: Settings, folder: Path) -> Iterator[str]:
    for name in ("role_id", "secret_id"):
        (folder / name).write_text(str(approle[name]))
    socket = folder / "agent.sock"
    (folder / "proxy.hcl").write_text(
        f'vault {{ address = "{bao.url}" }}\napi_proxy {{ use_auto_auth_token = true }}\n'
        f'listener "unix" {{ address = "{socket}"\n tls_disable = true\n'
        " require_request_header = true }\n"
        'auto_auth { method "approle" { config = {\n'
        f' role_id_file_path = "{folder}/role_id"\n secret_id_file_path = "{folder}/secret_id"\n'
        " remove_secret_id_file_after_reading = false\n} } }\n"
    )
    log = folder / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary(), "proxy", f"-config={folder}/proxy.hcl"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder)},
        )
    try:
        ends_at = time.monotonic() + 20
        while not socket.exists() or b"authentication successful" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends_at, log.read_text()
            time.sleep(0.05)
        yield str(socket)
    finally:
        process.kill()
        process.wait()


def _enable(bao: OpenBao, method: str) -> None:
    if f"{method}/" not in bao.ask("GET", "sys/auth")["data"]:
        bao.ask("POST", f"sys/auth/{method}", {"type": method})


def _signed(key: ec.EllipticCurvePrivateKey, claims: Mapping[str, object]) -> str:
    payload = {"aud": "vault", "iat": int(time.time()), "exp": int(time.time()) + 60, **claims}
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "ES256"}, payload)]
    signature = key.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256()))
    numbers = decode_dss_signature(signature)
    return ".".join([*parts, _encoded(b"".join(n.to_bytes(32, "big") for n in numbers))])


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
