"""What a caller got wrong is told with what to do about it, and without what may be a secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ksm_storage.engine.transport import HttpsTransport, chosen_proxy
from ksm_storage.engine.utils import get_totp_code
from ksm_storage.errors import SettingsError

CANARY = "c4n4ry"

MISTAKES: dict[str, Callable[[], object]] = {
    "proxy's port": lambda: chosen_proxy("localhost", 443, given=f"http://u:{CANARY}@proxy:port"),
    "proxy's scheme": lambda: chosen_proxy("localhost", 443, given=f"ftp://u:{CANARY}@proxy:1"),
    "one-time code": lambda: get_totp_code(f"otpauth://[{CANARY}"),
    "code by counter": lambda: get_totp_code(f"otpauth://hotp/x?secret={CANARY}"),
    "time-out": lambda: HttpsTransport(connect_timeout_seconds=0),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_advice(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MISTAKES[name]()

    assert caught.value.hint
    assert CANARY not in f"{caught.value.message}{caught.value.hint}"
