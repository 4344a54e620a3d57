"""The file of authorities that a caller trusts for TLS, looked through before any call."""

from __future__ import annotations

import ssl

from ..errors import SettingsError


def validate_ca_bundle(path: str, *, setting: str) -> None:
    """Refuse a file that holds no certificate in PEM form, or a damaged one.

    The clients of the key services would find out in the middle of a call, and take it for a
    network that is down; one of them takes an empty file for all public authorities.

    Raises:
        SettingsError: It is such a file, or cannot be read.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise SettingsError(
            f"the file {path!r} of the setting {setting!r} holds no certificate in PEM form, or a "
            "damaged one",
            hint="openssl x509 -noout -text -in FILE shows a good one; -inform der -out NEW makes "
            "a PEM file of one in DER form",
        ) from exc
    except OSError as exc:
        raise SettingsError(
            f"cannot read the file {path!r} of the setting {setting!r}: {exc.strerror}",
            hint="check its path and its permissions",
        ) from exc
