"""One envelope for each provider and algorithm, whose only recipient holds a DEK really wrapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.vectors.case import Case
from tests.vectors.draft import DEK, LINES, Draft, encoded, sample_bytes, wrap_aad
from tests.vectors.with_kek import wrapping

KEK = sample_bytes("kek", 32)
NONCE = sample_bytes("wrap nonce", 12)
SEED = sample_bytes("oaep seed", 64)
RANDOMNESS = sample_bytes("encapsulation", 64)
AAD = wrap_aad(LINES)

_AWS = "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_AZURE = "keys/app/0123456789abcdef0123456789abcdef"
_GCP = "gcp-kms://projects/p/locations/global/keyRings/r/cryptoKeys/app/cryptoKeyVersions/1"
_OCI = "oracle-kv://ocid1.key.oc1.iad.vault.unique/ocid1.keyversion.oc1.iad.vault.first"
_TOKEN = "pkcs11://token=ksm;"

# Recipient, algorithm and layout; the layouts are those of W4 to W7 and W11.
_KNOWN = (
    ("key-file:///etc/ksm/app.key", "AES-256-GCM", "gcm"),
    ("os-keyring://app", "AES-256-GCM", "gcm"),
    (f"azure-kv://https://hsm.managedhsm.azure.net/{_AZURE}", "A256GCM", "gcm"),
    (f"azure-kv://https://demo.vault.azure.net/{_AZURE}", "RSA-OAEP-256", "oaep-sha256"),
    (_GCP, "RAW_AES_GCM", "gcm"),
    (_GCP, "RSA_DECRYPT_OAEP_2048_SHA1", "oaep-sha1"),
    (_GCP, "RSA_DECRYPT_OAEP_2048_SHA256", "oaep-sha256"),
    (_AWS, "RSAES_OAEP_SHA_256", "oaep-sha256"),
    (_OCI, "RSA_OAEP_SHA_256", "oaep-sha256"),
    (f"{_TOKEN}object=aes;id=%31;type=secret-key", "CKM_AES_GCM", "gcm"),
    (f"{_TOKEN}object=aes;id=%31;type=secret-key", "CKM_AES_KEY_WRAP_KWP", "kwp"),
    (f"{_TOKEN}object=rsa;id=%32;type=private", "CKM_RSA_PKCS_OAEP/SHA-256", "oaep-sha256"),
    (f"{_TOKEN}object=rsa;id=%32;type=private", "CKM_RSA_PKCS_OAEP/SHA-1", "oaep-sha1"),
    ("vault-transit://transit/app", "TRANSIT_AEAD", "transit"),
    (
        f"recovery://{wrapping.recovery_key_id('office', KEK)}",
        "HPKE-MLKEM768X25519-SHA256-AES256GCM",
        "hpke",
    ),
)
# Only the service knows what is inside (W8).
_OPAQUE = (
    (_AWS, "SYMMETRIC_DEFAULT"),
    (_GCP, "GOOGLE_SYMMETRIC_ENCRYPTION"),
    (_OCI, "AES_256_GCM"),
)


def vectors() -> Iterator[dict[str, object]]:
    """Yield each vector as it stands in its file."""
    for key, algorithm, layout in _KNOWN:
        kek = wrapping.rsa_kek() if layout.startswith("oaep") else KEK.hex()
        yield _vector(key, algorithm, layout, _wrapped(layout), {"kek": kek})
    for key, algorithm in _OPAQUE:
        yield _vector(key, algorithm, "opaque", sample_bytes(f"opaque {algorithm}", 152), {})


def _wrapped(layout: str) -> bytes:
    if layout == "gcm":
        return wrapping.gcm(KEK, NONCE, DEK, AAD)
    if layout == "transit":
        return wrapping.transit(KEK, NONCE, DEK, AAD)
    if layout == "hpke":
        return wrapping.recovery("office", KEK, RANDOMNESS, DEK, AAD)
    if layout == "kwp":
        return wrapping.kwp(KEK, DEK)
    return wrapping.oaep(layout.removeprefix("oaep-"), SEED, DEK)


def _vector(
    key: str, algorithm: str, layout: str, wrapped: bytes, kek: Mapping[str, object]
) -> dict[str, object]:
    lines = f"recipient: {key}", f"algorithm: {algorithm}", f"wrapped-dek: {encoded(wrapped)}"
    case = Case.of("", "success", Draft().with_recipients(lines), rules=())
    return {
        "recipient": key,
        "algorithm": algorithm,
        "layout": layout,
        **kek,
        "aad": AAD.hex() if layout in ("gcm", "transit", "hpke", "opaque") else "",
        "wrapped_dek": encoded(wrapped),
        "dek": DEK.hex(),
        "payload": encoded(Draft().payload),
        "envelope": list(case.envelope),
    }
