"""Sign a direct call as a compute instance: with a new key, and the token that it is issued for it.

Sources: OCI documentation, "Calling Services from an Instance" and "Getting Instance Metadata";
the requests are those of ``oci.auth``.
"""

from __future__ import annotations

import hashlib
import json
import re

from ksm_storage import plugin as kit

from .direct_call import SIGNED, Sign, commercial_region, metadata_url, signed_headers
from .hooks import Access

# It is next to this machine; Oracle's client has more patience with a slow one.
_SECONDS = 1.0
# An organizational unit in DER: its type, a text and its length. The identity service checks the
# certificate; here it is only looked up whose it is, and the import of an X.509 parser takes 13 ms.
_TENANCY = re.compile(rb"\x06\x03\x55\x04\x0b[\x0c\x13](.)opc-(?:tenant|identity):", re.DOTALL)


def session(access: Access, vault: kit.HttpApi) -> tuple[str, Sign]:
    """Return the name of a key made here, which is the token issued for it, and what it signs with.

    Both are in memory only, and serve one call: a later one is made by Oracle's client.

    Args:
        access: How the services are reached.
        vault: Requests to the vault; those to the identity service share its authorities.

    Raises:
        NotDirectError: A service refused, or its reply is malformed.
        Exception: A request failed.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    link = access.connection._replace(connect_timeout=_SECONDS, read_timeout=_SECONDS)
    metadata = kit.HttpApi(metadata_url(), link, attempts=1)
    certificate, owned, intermediate = (
        _read(metadata, f"/identity/{name}.pem") for name in ("cert", "key", "intermediate")
    )
    der = kit.from_base64(_bare(certificate))
    tenancy, digest = _tenancy(der), hashlib.sha1(der, usedforsecurity=False).digest()
    url = access.federation_endpoint or _identity_service(metadata, tenancy)
    # As long as the one that Oracle's client makes.
    key = generate_private_key(65537, 2048)
    public_key = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    body = {
        "certificate": _bare(certificate),
        "publicKey": kit.to_base64(public_key),
        "intermediateCertificates": [_bare(intermediate)],
    }
    raw = json.dumps(body).encode()
    name = f"{tenancy}/fed-x509/{digest.hex(':').upper()}"
    signed = [header for header in SIGNED if header != "host"]
    headers = signed_headers(url, raw, name, lambda text: kit.rsa_signature(owned, text), signed)
    reply, _ = kit.exchange_json(vault.to(url), "POST", "", headers, raw)
    kit.require_texts(reply.get("token"))
    return f"ST${reply['token']}", lambda text: key.sign(text, PKCS1v15(), SHA256())


def _read(metadata: kit.HttpApi, path: str) -> bytes:
    reply = metadata.send("GET", path, headers={"authorization": "Bearer Oracle"})
    if reply.status != 200:
        raise kit.NotDirectError(f"the metadata service replied with status {reply.status}")
    return reply.body.strip()


def _bare(pem: bytes) -> str:
    return re.sub(r"-----[A-Z ]+-----|\s", "", pem.decode("ascii"))


def _tenancy(der: bytes) -> str:
    found = _TENANCY.search(der)
    name = der[found.end() : found.end(1) + found[1][0]].decode("ascii") if found else ""
    kit.require_texts(name)
    return name


def _identity_service(metadata: kit.HttpApi, tenancy: str) -> str:
    name = _read(metadata, "/instance/region").decode("ascii").lower()
    region = commercial_region(tenancy.split(".")[2], name)
    return f"https://auth.{region}.oraclecloud.com/v1/x509"
