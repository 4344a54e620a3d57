"""Oracle's clients of a vault's two endpoints: what signs, where and how they send and retry.

Importing this imports Oracle's client.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oci
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from oci import regions
from oci._vendor.requests.adapters import HTTPAdapter
from oci.auth import signers
from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.key_management.kms_crypto_client import KmsCryptoClient
from oci.key_management.models import DecryptDataDetails, EncryptDataDetails, SignDataDetails
from oci.retry import NoneRetryStrategy, RetryStrategyBuilder
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ksm_storage import plugin as kit

from .hooks import CONFIG_FILE, INSTANCE, OKE, RESOURCE, Access

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)*-[0-9]+")

# The client's own default also repeats 409 IncorrectState, which a disabled key answers each time.
_RETRIED: dict[int, list[str]] = {-1: [], 429: []}
_MAX_PAUSE = 30.0
_MAX_ATTEMPTS = 8


def crypto_endpoint(name: kit.KeyName, *, region: str | None = None) -> str:
    """Return ``https://VAULT-crypto.kms.REGION.DOMAIN``.

    The client knows the regions' short names and the realms' domains, and reads those of a
    dedicated region from ``~/.oci/regions-config.json`` or OCI_REGION_METADATA.

    Raises:
        SettingsError: The region or the realm is unknown, or the two do not belong together.
    """
    given = region
    short, realm = given or name.parts["region"], name.parts["realm"]
    region = regions.get_region_from_short_name(short)
    # The client returns an unknown name as it is, and takes it for one of the commercial realm.
    known = regions.is_region(region)
    if not known and not _REGION.fullmatch(region):
        whose = "the option 'region'" if given else "the key"
        raise _unknown(f"the region {short!r} of {whose}")
    # A region younger than the client: the OCID says the realm, and with it the domain.
    if known and regions.get_realm_from_region(region) != realm:
        raise kit.SettingsError(
            f"the region {region!r} does not belong to the realm {realm!r} of the key",
            hint="check the option 'region' and the key's OCID",
        )
    domain = regions.REALMS.get(realm)
    if domain is None:
        raise _unknown(f"the realm {realm!r} of the key")
    return f"https://{name.parts['vault']}-crypto.kms.{region}.{domain}"


def create_client(
    credentials: Credentials, access: Access, *, endpoint: str, management: bool
) -> Any:
    """Return a client of one of the endpoints; it calls nothing yet."""
    kind = _management_client() if management else KmsCryptoClient
    connection = access.connection
    client = kind(
        credentials.config,
        endpoint,
        signer=credentials.signer,
        timeout=(connection.connect_timeout, connection.read_timeout),
        # The default one is shared by all clients of the process: ten failures of one of them,
        # a disabled key's 409 among these, would shut every other one out.
        circuit_breaker_strategy=NoCircuitBreakerStrategy(),
    )
    session = client.base_client.session
    _prepare(session, access)
    # A 307 would send the DEK to wherever the reply says.
    session.max_redirects = 0
    return client


def _prepare(session: Any, access: Access) -> None:
    adapter = QuietAdapter(access.connection.ca_file)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    # It has a rule of its own for proxies, and reads passwords from ~/.netrc.
    session.trust_env = False


def send(client: Any, operation: str, details: Mapping[str, object], access: Access) -> Any:
    """Send one call with the client's own retries within the deadline; return its response.

    A call to sign is sent once.
    """
    if operation == "sign":
        # What may have signed is not sent again.
        return client.sign(SignDataDetails(**details), retry_strategy=NoneRetryStrategy())
    retries = _retries(access.connection.attempt)
    if operation == "encrypt":
        return client.encrypt(EncryptDataDetails(**details), retry_strategy=retries)
    if operation == "decrypt":
        return client.decrypt(DecryptDataDetails(**details), retry_strategy=retries)
    return getattr(client, operation)(*details.values(), retry_strategy=retries)


def _unknown(what: str) -> kit.SettingsError:
    return kit.SettingsError(
        f"Oracle's client does not know {what}",
        hint="write a region as in eu-frankfurt-1; else set the option 'endpoint' to the vault's "
        "crypto endpoint (the vault's page shows it), or install a newer 'oci'",
    )


def _management_client() -> Any:
    from oci.key_management.kms_management_client import KmsManagementClient

    return KmsManagementClient


def _retries(attempt_seconds: float) -> Any:
    strategy = RetryStrategyBuilder(
        max_attempts=_MAX_ATTEMPTS,
        total_elapsed_time_check=False,
        service_error_retry_config=_RETRIED,
        retry_max_wait_between_calls_seconds=_MAX_PAUSE,
    ).get_retry_strategy()
    strategy.checkers.add_checker(_RetryLimit(attempt_seconds))
    return strategy


class _RetryLimit:
    """Veto a retry that could end after the deadline, or that would fail in the same way.

    The client's own check of the elapsed time looks neither at the pause nor at the attempt that
    follow, and it retries a certificate that is not trusted.
    """

    def __init__(self, attempt_seconds: float) -> None:
        self._attempt_seconds = attempt_seconds

    def should_retry(
        self, exception: Any = None, _response: Any = None, *, current_attempt: int = 1, **_: object
    ) -> bool:
        """Answer for one failed attempt."""
        from .errors import is_final

        if isinstance(exception, Exception) and is_final(exception):
            return False
        # Decorrelated jitter: 1 s, doubled with each attempt, and up to 1 s more.
        pause = min(2.0 ** (current_attempt - 1) + 1.0, _MAX_PAUSE)
        deadline = kit.current_deadline()
        return deadline is None or deadline.allows(pause + self._attempt_seconds)


class _QuietHttp(HTTPConnection):
    # A client with log_requests, anywhere in the process, sets this on the class of all
    # connections, and from then on each prints what it sends and receives, DEKs too.
    debuglevel = 0


class _QuietHttps(HTTPSConnection):
    debuglevel = 0


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _QuietHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _QuietHttps


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class QuietAdapter(HTTPAdapter):  # type: ignore[misc]  # the client has no annotations
    """Send requests through connections that print nothing, by the one rule for the network."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,  # the signature is the superclass's
    ) -> Any:
        """Send a request with the caller's authorities, through the proxy for its host."""
        proxies = kit.proxies_for(str(request.url))
        return super().send(request, stream, timeout, self._ca_file or verify, cert, proxies)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hold what Oracle's client is made with: a configuration and a signer."""

    # It may hold a passphrase.
    config: dict[str, Any] = field(repr=False)
    signer: Any

    def refresh(self) -> None:
        """Get another token if the current one is about to expire; other credentials have none.

        The signer would do so by itself in the middle of a call, for minutes if need be.
        """
        issuer = getattr(self.signer, "federation_client", self.signer)
        renew = getattr(issuer, "get_security_token", None)
        if renew is not None:
            kit.within_deadline(renew)


def load_credentials(access: Access, *, region: str) -> Credentials:
    """Return the credentials of the chosen kind.

    Raises:
        SettingsError: The profile asks for another kind than the one chosen here.
        DeadlinePassedError: They were not obtained in time.
    """
    # Oracle's client tries for minutes to reach the metadata service of a machine that has none,
    # and takes no time-out for it.
    if access.credential == INSTANCE:
        return Credentials({}, kit.within_deadline(lambda: _instance(access)))
    if access.credential == RESOURCE:
        return Credentials({}, kit.within_deadline(signers.get_resource_principals_signer))
    if access.credential == OKE:
        return Credentials({}, kit.within_deadline(_oke))
    return _from_file(access, region=region)


def _instance(access: Access) -> Any:
    # The default circuit breaker is one for the process: it would count others' failures.
    return _instance_signer(access)(
        retry_strategy=_credential_retries(),
        federation_client_retry_strategy=_credential_retries(),
        federation_client_circuit_breaker_strategy=NoCircuitBreakerStrategy(),
        federation_endpoint=access.federation_endpoint,
    )


def _instance_signer(access: Access) -> Any:
    # It asks for its first token while it is made, through a session of its own: this class comes
    # between the two of the client that make the session and use it.
    class Prepared(signers.X509FederationClientBasedSecurityTokenSigner):  # type: ignore[misc]
        def __init__(self, federation_client: Any, **named: Any) -> None:
            _prepare(federation_client.requests_session, access)
            super().__init__(federation_client, **named)

    class Signer(signers.InstancePrincipalsSecurityTokenSigner, Prepared):  # type: ignore[misc]
        pass

    return Signer


def _oke() -> Any:
    return signers.get_oke_workload_identity_resource_principal_signer(
        retry_strategy=_credential_retries()
    )


def _credential_retries() -> Any:
    seconds = kit.seconds_left()
    return oci.retry.RetryStrategyBuilder(total_elapsed_time_seconds=seconds).get_retry_strategy()


def _from_file(access: Access, *, region: str) -> Credentials:
    location = access.config_file or oci.config.DEFAULT_LOCATION
    profile = access.profile or oci.config.DEFAULT_PROFILE
    config = dict(oci.config.from_file(location, profile))
    if "authentication_type" in config:
        raise kit.SettingsError(
            f"the profile {profile!r} selects another kind of credential with authentication_type",
            hint="set the option 'credential' instead",
        )
    # True would print every request and reply to stdout, plaintext DEKs with them.
    config["log_requests"] = False
    # The client wants one, and for a vault's own endpoint it does not matter which.
    config.setdefault("region", region)
    passphrase = access.passphrase() or config.get("pass_phrase")
    if access.credential == CONFIG_FILE:
        oci.config.validate_config(config)
        return Credentials(config, _api_key(config, passphrase))
    return Credentials(config, _security_token(config, passphrase, profile=profile))


def _api_key(config: dict[str, Any], passphrase: str | None) -> Any:
    signer = oci.signer.Signer(
        tenancy=config["tenancy"],
        user=config["user"],
        fingerprint=config["fingerprint"],
        private_key_file_location=config["key_file"],
        pass_phrase=passphrase,
    )
    _require_rsa(signer.private_key)
    return signer


def _require_rsa(private_key: object) -> None:
    # The client loads a key of any type, and fails with it in the middle of a call.
    if not isinstance(private_key, RSAPrivateKey):
        raise oci.exceptions.InvalidPrivateKey("not an RSA key")


def _security_token(config: dict[str, Any], passphrase: str | None, *, profile: str) -> Any:
    for name in ("security_token_file", "key_file"):
        if not config.get(name):
            raise kit.SettingsError(
                f"the profile {profile!r} lacks {name!r}",
                hint="create a profile with a security token: oci session authenticate",
            )
    token = Path(config["security_token_file"]).expanduser().read_text(encoding="ascii").strip()
    private_key = oci.signer.load_private_key_from_file(config["key_file"], passphrase)
    _require_rsa(private_key)
    _require_unexpired(token, profile=profile)
    return signers.SecurityTokenSigner(token, private_key)


def _require_unexpired(token: str, *, profile: str) -> None:
    # The vault would say no more than that the signature is not valid.
    try:
        expires_at = float(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["exp"])
    except (ValueError, IndexError, KeyError, TypeError):
        return
    if expires_at > time.time():
        return
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_at))
    raise kit.AuthenticationError(
        f"the security token of the profile {profile!r} expired at {when}",
        hint=f"run: oci session authenticate --profile-name {profile}; if it should still be "
        "valid, check the clock of this host",
    )
