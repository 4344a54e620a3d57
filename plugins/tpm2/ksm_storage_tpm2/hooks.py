"""The hooks of the provider ``tpm2``: its options and the names of its keys; no TPM library."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ksm_storage import plugin as kit

DEVICE = "/dev/tpmrm0"

# TPM_ALG_ID of the banks that TPMs of today have.
BANKS = {"sha256": 0x000B, "sha384": 0x000C, "sha1": 0x0004}
PCR_COUNT = 24

# Not a free text: tpm2-tss loads a library by this name.
_TCTI = re.compile(r"(swtpm|mssim|tabrmd)(:[A-Za-z0-9_.,:=/-]*)?")
_PCRS = re.compile(r"(?:(?P<bank>sha1|sha256|sha384):)?(?P<numbers>[0-9]{1,2}(?:[,+][0-9]{1,2})*)")
_LABEL = re.compile(r"owner/(?P<label>[A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_HANDLE = re.compile(r"0x81[0-9a-f]{6}")


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare where the TPM is, and what a data key is sealed to."""
    return [
        kit.Option("device", "Device of the TPM's resource manager.", default=DEVICE),
        kit.Option("tcti", "Use this TCTI of tpm2-tss instead: swtpm:..., mssim:... or tabrmd:..."),
        kit.Option("pcrs", "Seal to these PCRs: '7', or 'sha256:0,2,7' with their bank."),
        kit.Option(
            "require_pin", "Require the PIN to open what is sealed.", kind=bool, default=False
        ),
        *kit.pin_options("TPM key"),
        kit.Option("deadline", "Seconds for a call of the TPM.", kind=float, default=30.0),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the TPM is first called when it is used."""
    from .key_wrapper import TpmKeyWrapper

    return TpmKeyWrapper(KeyName.parse(key_id), access_from(settings))


class KeyName(NamedTuple):
    """Name the key that data keys are sealed under.

    Attributes:
        handle: Of a persistent key, or None.
        label: Of a key that is derived from the seed of the owner's hierarchy, or empty.
    """

    handle: int | None
    label: str

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read ``0x81000001`` or ``owner/NAME``.

        Raises:
            SettingsError: The text is neither.
        """
        if _HANDLE.fullmatch(text):
            return cls(int(text, 16), "")
        if found := _LABEL.fullmatch(text):
            return cls(None, found["label"])
        raise kit.SettingsError(
            f"not a valid TPM key: {text!r}",
            hint="write tpm2://owner/NAME, or tpm2://0x81000001 for a persistent key",
        )

    def __str__(self) -> str:
        return f"owner/{self.label}" if self.handle is None else f"0x{self.handle:08x}"


class Pcrs(NamedTuple):
    """Select PCRs of one bank; no numbers select nothing."""

    bank: int
    numbers: tuple[int, ...]

    def bitmap(self) -> bytes:
        """Return the selection in three bytes, as a TPM takes it."""
        return sum(1 << number for number in self.numbers).to_bytes(3, "little")

    @classmethod
    def from_bitmap(cls, bank: int, bitmap: bytes) -> Pcrs:
        """Return the selection of three bytes."""
        bits = int.from_bytes(bitmap, "little")
        return cls(bank, tuple(n for n in range(PCR_COUNT) if bits >> n & 1))

    def __str__(self) -> str:
        names = {number: name for name, number in BANKS.items()}
        return f"{names[self.bank]}:{','.join(map(str, self.numbers))}"


NO_PCRS = Pcrs(0, ())


class Access(NamedTuple):
    """Hold how the TPM is reached, and what the next data keys are sealed to.

    Attributes:
        device: The path of the device; None where ``tcti`` says otherwise.
        tcti: What tpm2-tss is given.
        pcrs: To seal to.
        pin: Where the PIN comes from.
        needs_pin: Whether opening will require the PIN.
        deadline: Seconds for a call.
    """

    device: str | None
    tcti: str
    pcrs: Pcrs
    pin: kit.PinSource
    needs_pin: bool
    deadline: float

    @property
    def place(self) -> str:
        """The TPM as messages name it."""
        return f"the TPM at {self.device or self.tcti!r}"


def access_from(settings: kit.Settings) -> Access:
    """Check the settings.

    Raises:
        SettingsError: A setting cannot be used.
    """
    tcti = settings.text("tcti")
    if tcti is not None:
        if settings.given("device"):
            raise kit.SettingsError("the settings 'device' and 'tcti' cannot be combined")
        if not _TCTI.fullmatch(tcti):
            raise kit.SettingsError(
                "the setting 'tcti' must begin with swtpm, mssim or tabrmd",
                hint="for a device use the option 'device'",
            )
    device = settings.required_text("device")
    # tpm2-tss would read what follows a colon or comma as options.
    if not os.path.isabs(device) or not re.fullmatch(r"[\w./-]{1,255}", device):
        raise kit.SettingsError("the setting 'device' must be an absolute path, as /dev/tpmrm0")
    pin = kit.PinSource.from_settings(settings)
    return Access(
        device=None if tcti else device,
        tcti=tcti or f"device:{device}",
        pcrs=_pcrs(settings.text("pcrs")),
        pin=pin,
        needs_pin=pin.is_given or settings.flag("require_pin"),
        deadline=settings.seconds("deadline"),
    )


def _pcrs(text: str | None) -> Pcrs:
    if not text:
        return NO_PCRS
    found = _PCRS.fullmatch(text)
    numbers = sorted({int(n) for n in re.split("[,+]", found["numbers"])}) if found else []
    if found is None or numbers[-1] >= PCR_COUNT:
        raise kit.SettingsError(
            "the setting 'pcrs' must be PCR numbers from 0 to 23, as '7' or 'sha256:0,2,7'"
        )
    return Pcrs(BANKS[found["bank"] or "sha256"], tuple(numbers))
