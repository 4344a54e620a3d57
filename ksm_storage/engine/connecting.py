"""Put a session together from the constructor's arguments."""

from __future__ import annotations

import os

from ..errors import SettingsError
from .device import KeyValueStorage
from .opening import open_device
from .patience import Patience
from .requester import Requester
from .session import Session
from .transmission import PostFunction
from .transport import HttpsTransport


def connect(
    *,
    token: str | None,
    hostname: str | None,
    config: KeyValueStorage | None,
    server_public_key: str | None,
    server_public_key_id: str | None,
    proxy_url: str | None,
    ca_file: str | os.PathLike[str] | None,
    verify_ssl_certs: bool,
    custom_post_function: PostFunction | None,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
    patience: Patience,
    offline_copy: str | os.PathLike[str] | None,
    offline_max_age_seconds: float,
) -> Session:
    """Return a session that has sent nothing yet.

    The transport is made before anything is stored: a wrong CA file changes no configuration.
    """
    _refuse_unverified(verify_ssl_certs)
    transport = HttpsTransport(
        ca_file=ca_file,
        proxy_url=proxy_url,
        connect_timeout_seconds=connect_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
    )
    device = open_device(
        token=token,
        hostname=hostname,
        config=config,
        server_public_key=server_public_key,
        server_public_key_id=server_public_key_id,
    )
    requester = Requester(
        device,
        transport,
        patience=patience,
        custom_post_function=custom_post_function,
        proxy_url=proxy_url,
    )
    copy = None
    if offline_copy is not None:
        # Loaded here: it needs modules that no other part of the engine does.
        from .offline_copy import OfflineCopy

        copy = OfflineCopy(offline_copy, max_age_seconds=offline_max_age_seconds)
    return Session(device, requester, transport, offline_copy=copy)


def _refuse_unverified(verify_ssl_certs: bool) -> None:
    skipped = os.environ.get("KSM_SKIP_VERIFY", "").strip().lower()
    if verify_ssl_certs is not True or skipped in ("1", "true", "yes", "on", "y", "t"):
        raise SettingsError(
            "certificates are always verified",
            hint="give the CA as ca_file, and unset KSM_SKIP_VERIFY",
        )
