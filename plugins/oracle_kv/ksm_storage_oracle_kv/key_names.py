"""The names of a key: its OCID, and behind it the OCID of a version.

``ocid1.key.REALM.REGION.VAULT.UNIQUE[/ocid1.keyversion.REALM.REGION.VAULT.UNIQUE]``. REGION is a
region's short name (``iad``) or its identifier (``ap-seoul-1``): OCIDs of both kinds exist.
Source: OCI documentation, "Resource Identifiers".
"""

from __future__ import annotations

from ksm_storage import plugin as kit

# "OCIDs ... maximum length of 255 characters" in the API reference of every service.
_OCID = r"(?=[^/]{1,255}(?:/|\Z))"
_PLACE = r"(?P<realm>[a-z0-9]+)\.(?P<region>[a-z0-9-]+)\.(?P<vault>[a-z0-9]+)"

NAMES = kit.KeyNames(
    rf"(?P<key>{_OCID}ocid1\.key\.{_PLACE}\.[a-z0-9]+)"
    rf"(?:/(?P<version>{_OCID}ocid1\.keyversion\.[a-z0-9]+\.[a-z0-9-]+\.[a-z0-9]+\.[a-z0-9]+))?",
    noun="OCI vault key",
    hint="write the key's OCID, ocid1.key.oc1.REGION.VAULT.UNIQUE, and /ocid1.keyversion... to "
    "pin a version; the OCID of the vault itself is not one of a key",
)
