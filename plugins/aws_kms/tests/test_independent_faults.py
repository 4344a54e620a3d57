"""Faults injected by microburst, which others wrote, in front of moto's server.

Not in front of our emulator: the proxy sends another Host than the one that was signed.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from ksm_storage.errors import KsmStorageError, ProviderError, ThrottledError, UnavailableError

from . import stand_ins
from .moto_kms import MotoKms
from .opening import AAD, open_kek
from .scripted_kms import DEK

pytestmark = [
    pytest.mark.skipif(stand_ins.missing("microburst"), reason="see stand_ins.txt for microburst"),
    # The proxy takes seconds to start: one worker, one proxy.
    pytest.mark.xdist_group("microburst"),
]

Inject = Callable[[Mapping[str, Any]], None]

LASTING: Mapping[str, tuple[Mapping[str, Any], type[KsmStorageError]]] = {
    "throttled": ({"error": {"code": "ThrottlingException", "status": 400}}, ThrottledError),
    "limit exceeded": (
        {"error": {"code": "LimitExceededException", "status": 400}},
        ThrottledError,
    ),
    "unavailable": ({"error": {"code": "ServiceUnavailable", "status": 503}}, UnavailableError),
    "reset": ({"reset": True}, UnavailableError),
    "held, then 504": ({"timeout_ms": 300}, UnavailableError),
    "body cut short": ({"response": {"truncate_frac": 0.5}}, UnavailableError),
    "body aborted": ({"response": {"abort_frac": 0.3}}, UnavailableError),
    "upload cut": ({"request": {"cut_upload": {"after_bytes": 10}}}, UnavailableError),
}

PASSING = ("throttled", "limit exceeded", "unavailable", "reset", "body aborted", "upload cut")


@pytest.fixture(scope="module")
def proxy(_running_moto: MotoKms, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stand_ins.microburst(tmp_path_factory.mktemp("microburst"), _running_moto.url) as url:
        # The first request loads much of the proxy, which would count as the service's time.
        _set_rules(url, [])
        _running_moto.client_at(url).list_keys()
        yield url


@pytest.fixture
def inject(proxy: str) -> Iterator[Inject]:
    """Set the one fault of the proxy."""

    def inject(*rules: Mapping[str, Any]) -> None:
        _set_rules(proxy, [{"service": "kms", **rule} for rule in rules])

    yield inject
    inject()


def _set_rules(proxy: str, rules: Sequence[Mapping[str, Any]]) -> None:
    body, headers = json.dumps(rules).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{proxy}/_microburst/rules", body, headers, method="POST")
    urllib.request.urlopen(request, timeout=10).close()


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_is_its_documented_error(
    moto: MotoKms,
    proxy: str,
    inject: Inject,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    rule, kind = LASTING[fault]
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with open_kek(moto.create_key(), proxy) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        inject(rule)

        with pytest.raises(KsmStorageError) as caught:
            kek.unwrap(wrapped, aad=AAD)

    assert type(caught.value) is kind


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_happens_once_is_not_noticed(
    moto: MotoKms, proxy: str, inject: Inject, fault: str
) -> None:
    with open_kek(moto.create_key(), proxy) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        inject({**LASTING[fault][0], "times": 1})

        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_a_corrupted_body_is_never_taken_for_the_dek_without_an_error_or_the_dek_itself(
    moto: MotoKms, proxy: str, inject: Inject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with open_kek(moto.create_key(), proxy) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        inject({"response": {"corrupt_bytes": 64}})
        kinds = {_kind_of_failure(lambda: kek.unwrap(wrapped, aad=AAD)) for _ in range(20)}

    # KMS sends no checksum: flipped bits inside the base64 text are for the envelope's
    # commitment to find. Everything else is an error of ours.
    assert kinds <= {None, UnavailableError, ProviderError}


def _kind_of_failure(call: Callable[[], object]) -> type[Exception] | None:
    try:
        call()
    except KsmStorageError as exc:
        return type(exc)
    return None
