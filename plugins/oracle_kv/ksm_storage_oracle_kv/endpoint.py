"""The crypto endpoint of a key's vault, as the key's OCID says it."""

from __future__ import annotations

import re

from ksm_storage.plugin import SettingsError

from .key_names import KeyName

_IDENTIFIER = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)*-[0-9]+")


def crypto_endpoint(name: KeyName, *, region: str | None = None) -> str:
    """Return ``https://VAULT-crypto.kms.REGION.DOMAIN``; imports Oracle's client.

    The client knows the regions' short names and the realms' domains, and reads those of a
    dedicated region from ``~/.oci/regions-config.json`` or OCI_REGION_METADATA.

    Raises:
        SettingsError: The region or the realm is unknown, or the two do not belong together.
    """
    from oci import regions

    identifier = regions.get_region_from_short_name(region or name.region)
    # The client returns an unknown name as it is, and takes it for one of the commercial realm.
    known = regions.is_region(identifier)
    if not known and not _IDENTIFIER.fullmatch(identifier):
        raise _unknown(f"the region {region or name.region!r}", name)
    # A region younger than the client: the OCID says the realm, and with it the domain.
    if known and regions.get_realm_from_region(identifier) != name.realm:
        raise SettingsError(
            f"the region {identifier!r} does not belong to the realm {name.realm!r} of the key",
            hint="see the option 'region', and the key's OCID",
            key=str(name),
        )
    domain = regions.REALMS.get(name.realm)
    if domain is None:
        raise _unknown(f"the realm {name.realm!r}", name)
    return f"https://{name.vault}-crypto.kms.{identifier}.{domain}"


def _unknown(what: str, name: KeyName) -> SettingsError:
    return SettingsError(
        f"{what} of the key is not known to Oracle's client",
        hint="give the vault's crypto endpoint in the option 'endpoint' (the vault's page shows "
        "it), or install a newer 'oci'",
        key=str(name),
    )
