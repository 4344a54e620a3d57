"""Settings and names of keys: what cannot be used is refused before the TPM is asked."""

from __future__ import annotations

import pytest
from ksm_storage_tpm2.hooks import KeyName

from ksm_storage.errors import SettingsError

from .opening import opened


@pytest.mark.parametrize("text", ["owner/app", "owner/a.b-c_D9", "0x81000001", "0x81ffffff"])
def test_a_name_is_its_own_text(text: str) -> None:
    assert str(KeyName.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["owner", "owner/", "owner/a/b", "owner/.a", "0x81", "0x40000001", "0x8100000A", "srk"]
)
def test_another_name_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="not a valid TPM key"):
        KeyName.parse(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tcti": "device:/dev/tpm0"}, "'tcti' must begin with swtpm, mssim or tabrmd"),
        ({"tcti": "/tmp/evil.so"}, "'tcti' must begin with"),
        ({"tcti": "swtpm:path=/a;b"}, "'tcti' must begin with"),
        ({"tcti": "swtpm", "device": "/dev/tpm0"}, "cannot be combined"),
        ({"device": "tpm0"}, "must be an absolute path"),
        ({"device": "/dev/tpm0,other"}, "must be an absolute path"),
        ({"pcrs": "24"}, "'pcrs' must be PCR numbers from 0 to 23"),
        ({"pcrs": "md5:7"}, "'pcrs' must be PCR numbers"),
        ({"pcrs": "sha256:"}, "'pcrs' must be PCR numbers"),
        ({"pcrs": "7,"}, "'pcrs' must be PCR numbers"),
        ({"pin": "1", "pin_file": "/x"}, "the PIN is set more than once"),
        ({"deadline": 0}, "must be a number of seconds above 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        opened("owner/app", settings)
