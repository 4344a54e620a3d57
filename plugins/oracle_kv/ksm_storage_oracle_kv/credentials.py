"""What signs the requests, for each kind of credential. Importing this imports Oracle's client."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oci
from oci.auth import signers
from oci.circuit_breaker import NoCircuitBreakerStrategy

from ksm_storage import plugin as kit

from .options import CONFIG_FILE, INSTANCE, OKE, RESOURCE, CredentialChoice


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hold what Oracle's client is made with: a configuration and a signer."""

    # It may hold a passphrase.
    config: dict[str, Any] = field(repr=False)
    signer: Any

    def refresh(self) -> None:
        """Get another token if the one at hand is about to expire, where there are tokens.

        The signer would do so by itself in the middle of a call, for minutes if need be.
        """
        issuer = getattr(self.signer, "federation_client", self.signer)
        renew = getattr(issuer, "get_security_token", None)
        if renew is not None:
            kit.within_deadline(renew)


def load_credentials(choice: CredentialChoice, *, region: str) -> Credentials:
    """Return the credentials of the chosen kind.

    Raises:
        SettingsError: The profile asks for another kind than the one chosen here.
        DeadlinePassedError: They were not obtained in time.
    """
    # Oracle's client tries for minutes to reach the metadata service of a machine that has none,
    # and takes no time-out for it.
    if choice.kind == INSTANCE:
        return Credentials({}, kit.within_deadline(lambda: _instance(choice)))
    if choice.kind == RESOURCE:
        return Credentials({}, kit.within_deadline(signers.get_resource_principals_signer))
    if choice.kind == OKE:
        return Credentials({}, kit.within_deadline(_oke))
    return _from_file(choice, region=region)


def _instance(choice: CredentialChoice) -> Any:
    # The default circuit breaker is one for the process: it would count others' failures.
    return signers.InstancePrincipalsSecurityTokenSigner(
        retry_strategy=_retries(),
        federation_client_retry_strategy=_retries(),
        federation_client_circuit_breaker_strategy=NoCircuitBreakerStrategy(),
        federation_endpoint=choice.federation_endpoint,
    )


def _oke() -> Any:
    return signers.get_oke_workload_identity_resource_principal_signer(retry_strategy=_retries())


def _retries() -> Any:
    seconds = kit.seconds_left()
    return oci.retry.RetryStrategyBuilder(total_elapsed_time_seconds=seconds).get_retry_strategy()


def _from_file(choice: CredentialChoice, *, region: str) -> Credentials:
    location = choice.config_file or oci.config.DEFAULT_LOCATION
    profile = choice.profile or oci.config.DEFAULT_PROFILE
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
    passphrase = choice.passphrase() or config.get("pass_phrase")
    if choice.kind == CONFIG_FILE:
        oci.config.validate_config(config)
        return Credentials(config, _api_key(config, passphrase))
    return Credentials(config, _security_token(config, passphrase, profile=profile))


def _api_key(config: dict[str, Any], passphrase: str | None) -> Any:
    return oci.signer.Signer(
        tenancy=config["tenancy"],
        user=config["user"],
        fingerprint=config["fingerprint"],
        private_key_file_location=config["key_file"],
        pass_phrase=passphrase,
    )


def _security_token(config: dict[str, Any], passphrase: str | None, *, profile: str) -> Any:
    for name in ("security_token_file", "key_file"):
        if not config.get(name):
            raise kit.SettingsError(
                f"the profile {profile!r} lacks {name!r}",
                hint="create a profile with a security token: oci session authenticate",
            )
    token = Path(config["security_token_file"]).expanduser().read_text(encoding="ascii").strip()
    private_key = oci.signer.load_private_key_from_file(config["key_file"], passphrase)
    return signers.SecurityTokenSigner(token, private_key)
