"""Custom post functions: the one that sends, and the official package's cache."""

from __future__ import annotations

import os
from pathlib import Path

from ..wire.signed_request import protocol_headers
from . import late_errors as errors
from .dto.payload import EncryptedPayload, KSMHttpResponse, TransmissionKey
from .session import require_verification
from .storage import replace_file
from .transport import HttpAnswer, HttpsTransport, run


def post_function(
    url: str,
    transmission_key: TransmissionKey,
    encrypted_payload_and_signature: EncryptedPayload,
    verify_ssl_certs: bool = True,
    proxy_url: str | None = None,
) -> KSMHttpResponse:
    """Send a request; for custom post functions that send what they cannot answer."""
    require_verification(verify_ssl_certs)
    sent = encrypted_payload_and_signature
    headers = protocol_headers(
        transmission_key.publicKeyId, transmission_key.encryptedKey, sent.signature
    )
    transport = HttpsTransport(proxy_url=proxy_url)
    answer = run(transport.post(url, headers=headers, body=sent.encrypted_payload))
    return KSMHttpResponse(answer.status, answer.body, _HttpResponse(answer))


class _HttpResponse:
    """Hold an answer with the attributes by which post functions look at it."""

    def __init__(self, answer: HttpAnswer) -> None:
        self.status_code: int = answer.status
        self.content: bytes = answer.body
        self.text = self.content.decode(errors="replace")
        self.reason = ""
        self.ok = self.status_code < 400
        self.headers = {"Retry-After": answer.retry_after} if answer.retry_after else {}


class KSMCache:
    """Answer from a file when the server is unreachable, as the official package does.

    The file holds the key of the cached answer beside it: anyone who can read it can read the
    secrets with nothing else. ``offline_copy`` of :class:`SecretsManager` does not have that flaw.
    """

    @staticmethod
    def get_cache_file_path() -> str:
        """Return the path of the file, in KSM_CACHE_DIR or the current folder."""
        return os.path.join(os.environ.get("KSM_CACHE_DIR", ""), "ksm_cache.bin")

    @staticmethod
    def save_cache(data: bytes) -> None:
        """Replace the file, with mode 0600."""
        replace_file(Path(KSMCache.get_cache_file_path()), data)

    @staticmethod
    def get_cached_data() -> bytes:
        """Return the file's content; raise OSError if it cannot be read."""
        with open(KSMCache.get_cache_file_path(), "rb") as file:
            return file.read()

    @staticmethod
    def remove_cache_file() -> None:
        """Remove the file if it is there."""
        path = KSMCache.get_cache_file_path()
        if os.path.exists(path):
            os.unlink(path)

    @staticmethod
    def caching_post_function(
        url: str,
        transmission_key: TransmissionKey,
        encrypted_payload_and_signature: EncryptedPayload,
        verify_ssl_certs: bool = True,
        proxy_url: str | None = None,
    ) -> KSMHttpResponse:
        """Send a request and keep the answer; answer from the file if the server is unreachable."""
        try:
            response = post_function(
                url, transmission_key, encrypted_payload_and_signature, verify_ssl_certs, proxy_url
            )
        except errors.ServerUnreachableError:
            cached = KSMCache.get_cached_data()
            transmission_key.key = cached[:32]
            return KSMHttpResponse(200, cached[32:])
        if response.status_code == 200:
            KSMCache.save_cache(transmission_key.key + response.data)
        return response
