"""The vectors that open, and those whose form is right and whose cryptography is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.vectors.case import Case
from tests.vectors.draft import DEK, LINES, Draft, encoded, recipient_lines, sample_bytes, wrap_aad

OTHER = encoded(sample_bytes("another 32 bytes", 32))
LONGEST_KEY_ID = "k" * 2048


def cases() -> Iterator[Case]:
    """Yield them in the order of their files."""
    yield from _success()
    yield from _wrong_dek()
    yield from _altered_header()
    yield from _altered_payload()
    yield from _wrong_context()


def _success() -> Iterator[Case]:
    for name, draft in {
        "two recipients and a context": Draft(),
        "no context": Draft().with_context(),
        "one recipient": Draft().with_recipients(recipient_lines()),
        "an empty payload": Draft(payload=b""),
        "a payload of any bytes": Draft(payload=bytes(range(256))),
        "a payload whose last line is full": Draft(payload=bytes(32)),
        "a payload that ends with one character's padding": Draft(payload=bytes(31)),
        "generation 2": Draft().of_generation(2, sample_bytes("secret 1", 32)),
        "the longest lineage": Draft().of_generation(
            40, *(sample_bytes(f"secret {number}", 32) for number in range(32))
        ),
        "the highest revision": Draft().with_line("revision", "9" * 18),
        "the first and the last time": Draft()
        .with_line("created", "1970-01-01T00:00:00Z")
        .with_line("sealed", "9999-12-31T23:59:59Z"),
        "a leap day": Draft().with_line("created", "2028-02-29T12:00:00Z"),
        "16 recipients": Draft().with_recipients(
            *(recipient_lines(f"key-file:///etc/ksm/{number}.key") for number in range(16))
        ),
        "the longest recipient": Draft().with_recipients(
            recipient_lines(f"{'p' * 64}://{LONGEST_KEY_ID}", "a" * 64, 8192)
        ),
        "the shortest recipient": Draft().with_recipients(recipient_lines("p://k", "a", 1)),
        "16 context pairs": Draft().with_context(*(f"{n:02}=v" for n in range(16))),
        "1,024 bytes of context": Draft().with_context(*(f"{name}={'v' * 255}" for name in "abcd")),
        "the longest context name": Draft().with_context(f"{'n' * 64}=v"),
        "a context value with '=', ': ' and spaces inside": Draft().with_context("a=b = c: d"),
        "names sorted by their bytes": Draft().with_context("A=1", "Z=1", "a=1", "a.=1", "a0=1"),
    }.items():
        yield Case.of(name, "success", draft, rules=("E11",))
    sound = Draft().to_bytes()
    for name, raw in {
        "a byte order mark": b"\xef\xbb\xbf" + sound,
        "CRLF line ends": sound.replace(b"\n", b"\r\n"),
        "no last line end": sound[:-1],
        "CRLF and no last line end": sound.replace(b"\n", b"\r\n")[:-2],
        "all three": b"\xef\xbb\xbf" + sound.replace(b"\n", b"\r\n")[:-2],
    }.items():
        case = Case.of(name, "success", raw, rules=("E18",))
        yield replace(case, payload=Draft().payload, aad=wrap_aad(LINES))
    exact = {"env": "prod", "team": "payments"}
    yield Case.of("the context asked for", "success", Draft(), rules=("R1",), context=exact)


def _wrong_dek() -> Iterator[Case]:
    flipped = bytes([DEK[0] ^ 1]) + DEK[1:]
    yield Case.of("one bit of the DEK", "wrong-dek", Draft(), rules=("R1",), dek=flipped)
    yield Case.of("another commitment", "wrong-dek", Draft(commitment=OTHER), rules=("S2",))
    zero = encoded(bytes(32))
    yield Case.of("a commitment of zeros", "wrong-dek", Draft(commitment=zero), rules=("S2",))
    # A form error comes before all keys, a wrong DEK before an altered header.
    draft = Draft(header_mac=OTHER)
    yield Case.of("a wrong DEK and MAC", "wrong-dek", draft, rules=("R1",), dek=flipped)


def _altered_header() -> Iterator[Case]:
    sound = Draft()
    for name, draft in {
        "the time of making": sound.with_line("created", "2026-11-23T09:30:01Z"),
        "the time of sealing": sound.with_line("sealed", "2026-11-23T10:12:45Z"),
        "the revision": sound.with_line("revision", "6"),
        "the envelope id": sound.with_line("envelope-id", "0" * 32),
        "the context": sound.with_context("env=test", "team=payments"),
        "a context pair gone": sound.with_context("team=payments"),
        "a recipient gone": sound.with_recipients(recipient_lines()),
        "the recipients swapped": sound.with_recipients(LINES[12:15], LINES[9:12]),
        "a recipient's key": sound.with_recipients(LINES[9:12], recipient_lines("key-file:///x")),
        "an algorithm": sound.with_recipients(LINES[9:12], recipient_lines(algorithm="AES")),
    }.items():
        yield Case.patched(name, "altered-header", sound, header_of=draft)
    yield Case.of("another MAC", "altered-header", Draft(header_mac=OTHER), rules=("S3",))


def _altered_payload() -> Iterator[Case]:
    sound = Draft()
    sealed = sound.sealed_bytes()
    for name, other in {
        "the first bit": bytes([sealed[0] ^ 0x80]) + sealed[1:],
        "the last bit of the tag": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "a byte less": sealed[:-1],
        "a byte more": sealed + b"\0",
        "the tag alone": sealed[-16:],
    }.items():
        draft = sound.with_sealed(other)
        yield Case.of(name, "altered-payload", draft, rules=("S4",))
    for name, draft in {
        "a nonce that is not zero": sound.with_sealed(sound.sealed_bytes(nonce=bytes(11) + b"\1")),
        "the label of the signing suite": sound.with_sealed(
            sound.sealed_bytes(info=b"\x05\x78DERIVEKEY")
        ),
        "the whole header as AAD": sound.with_sealed(sound.sealed_bytes(core=sound.lines)),
        "no AAD": sound.with_sealed(sound.sealed_bytes(core=())),
    }.items():
        yield Case.of(name, "altered-payload", draft, rules=("S4", "S5"))


def _wrong_context() -> Iterator[Case]:
    for name, context in {
        "another value": {"env": "test", "team": "payments"},
        "a pair more": {"env": "prod", "site": "a", "team": "payments"},
        "a pair less": {"env": "prod"},
        "none": dict[str, str](),
    }.items():
        yield Case.of(name, "wrong-context", Draft(), rules=("R1",), context=context)
    # The caller's demands are checked before any key is used.
    context = {"env": "test"}
    yield Case.of(
        "and a wrong DEK", "wrong-context", Draft(), rules=("R1",), context=context, dek=bytes(32)
    )
