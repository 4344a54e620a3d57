"""Sign with a P-256 key version of Cloud KMS: the device key that never leaves it.

Source: Cloud KMS documentation, "Creating and validating digital signatures".
"""

from __future__ import annotations

import time

from ksm_storage import plugin as kit

from .client import KmsClient
from .hooks import NAMES
from .purposes import checked, other_public_key, require_received, with_checksums

ALGORITHM = "EC_SIGN_P256_SHA256"
_PAUSE_SECONDS = 0.5
CREATE = (
    "create one: gcloud kms keys create KEY --purpose asymmetric-signing "
    "--default-algorithm ec-sign-p256-sha256"
)


def create_signing_key(client: KmsClient, name: kit.KeyName) -> str:
    """Create a key with one version, and return the name of the version once it can sign.

    Raises:
        SettingsError: The name has a version.
        KeyStateError: There is a key or an alias of this name.
        ProviderError: Cloud KMS refused or failed.
    """
    kit.refuse_version(name, name.version, chosen="the first version is created with the key")
    ring, _, key = name.key.rpartition("/cryptoKeys/")
    template = {"algorithm": ALGORITHM}
    client.call(
        "create_crypto_key",
        {
            "parent": ring,
            "crypto_key_id": key,
            "crypto_key": {"purpose": "ASYMMETRIC_SIGN", "version_template": template},
        },
    )
    version = f"{name.key}/cryptoKeyVersions/1"
    started = time.monotonic()
    while True:
        # The pair is made after the reply: in seconds for software, longer in an HSM.
        try:
            signing_key(client, NAMES.parse(version))
        except kit.KeyStateError:
            if time.monotonic() - started > client.access.connection.deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return version


def signing_key(client: KmsClient, name: kit.KeyName) -> kit.SigningKey:
    """Return the public key of the version that is named.

    Raises:
        SettingsError: The name has no version.
        KeyStateError: It is disabled, or not a P-256 signing key.
        ProviderError: Cloud KMS refused or failed, or sent another key.
    """
    version = _version(name)
    reply = client.call("get_public_key", {"name": version})
    if str(getattr(reply.algorithm, "name", reply.algorithm)) != ALGORITHM:
        raise kit.not_a_signing_key(version, create=CREATE)
    public_key = kit.der_of_pem(checked(reply, "pem").decode("ascii", "replace"))
    if reply.name != version or public_key is None:
        raise other_public_key(version)
    return kit.SigningKey(version, public_key)


def sign_digest(client: KmsClient, name: kit.KeyName, digest: bytes) -> bytes:
    """Return the DER signature of a SHA-256 digest, from one request that is not sent again.

    Raises:
        SettingsError: The name has no version.
        KeyStateError: The version is disabled, or cannot sign.
        ProviderError: Cloud KMS refused or failed, or signed with another key.
    """
    version = _version(name)
    crc32c = with_checksums(digest=digest)["digest_crc32c"]
    request = {"name": version, "digest": {"sha256": digest}, "digest_crc32c": crc32c}
    reply = client.call("asymmetric_sign", request)
    require_received(reply, "digest")
    if reply.name != version:
        raise kit.other_key_error("Cloud KMS", "signed with", reply.name, version)
    return checked(reply, "signature")


def _version(name: kit.KeyName) -> str:
    hint = "add /cryptoKeyVersions/1: each version is another key"
    kit.require_version(name, name.version, hint=hint)
    return str(name)
