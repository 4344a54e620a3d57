"""Print the time from the start of a process to the first value, beside the floor of each kind.

The floor is the least that any program can do that makes the same call: bare Python with AESGCM
for a key file, a minimal script with the vendor's SDK that makes the one decrypt call for a key
service. The official storage class stands beside it. The services are the emulators of this
project on loopback, so that no network time hides the difference.

``python benchmarks/cold_start.py [SERVICE ...]`` measures the named ones; ``--list`` names them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import (
    cold_start_aws,
    cold_start_azure,
    cold_start_gcp,
    cold_start_key_file,
    cold_start_oci,
    cold_start_pkcs11,
)
from benchmarks.cold_start_programs import NotMeasuredError

SERVICES = {
    "key-file": cold_start_key_file.show,
    "aws-kms": cold_start_aws.show,
    "azure-kv": cold_start_azure.show,
    "gcp-kms": cold_start_gcp.show,
    "oracle-kv": cold_start_oci.show,
    "pkcs11": cold_start_pkcs11.show,
}


def main(arguments: list[str]) -> None:
    """Measure and print each table, or say why there is none."""
    if arguments == ["--list"]:
        print("\n".join(SERVICES))
        return
    unknown = [name for name in arguments if name not in SERVICES]
    if unknown:
        sys.exit(f"unknown service {unknown[0]!r}: one of {', '.join(SERVICES)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments or SERVICES:
            try:
                SERVICES[name](Path(folder))
            except NotMeasuredError as exc:
                print(f"\n{name}: not measured: {exc}")
    if not arguments:
        cold_start_key_file.show_scans()


if __name__ == "__main__":
    main(sys.argv[1:])
