"""Print the import time of each layer of a vendor's SDK, down to signing by hand.

The decisions 0101 to 0104 say which layer each plugin stands on, and why it is no lower one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks.interleaved import NOTE, measure, python
from benchmarks.tables import Kind, Table, publish

# Service -> its layers from the top: what is imported, and whose choice it is.
LAYERS: dict[str, list[tuple[str, Kind]]] = {
    "AWS KMS": [
        ("boto3", "floor"),
        ("botocore.session", "ours"),
        ("botocore.auth, botocore.awsrequest, botocore.httpsession", "other"),
    ],
    "Azure Key Vault": [
        ("azure.identity, azure.keyvault.keys", "ours"),
        ("azure.identity, azure.core.rest", "other"),
        ("azure.core, azure.core.rest, requests", "other"),
    ],
    "Google Cloud KMS": [
        ("google.cloud.kms_v1", "ours"),
        ("google.auth.transport.requests, google.oauth2.service_account", "other"),
        ("google.auth, google.oauth2.service_account", "other"),
    ],
    "OCI Vault": [
        ("oci, oci.key_management", "ours"),
        ("oci, oci.base_client", "other"),
        ("requests, cryptography.hazmat.primitives.asymmetric.rsa", "other"),
    ],
}


def tables() -> Iterator[Table]:
    """Return the table of each SDK that is installed; its first layer is the whole of it."""
    for title, layers in LAYERS.items():
        if find_spec(layers[0][0].partition(",")[0].partition(".")[0]) is None:
            print(f"\n{title}: not measured: not installed")
            continue
        rows = measure([python(names, kind, f"import {names}") for names, kind in layers])
        yield Table("sdk-layers", f"Import, {title}", "ms", rows, rows[0].name, NOTE)


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])
