"""The vectors whose form is wrong; the MAC and the seal of each fit what stands there."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

from tests.vectors.case import Case, Pieces, Repeated
from tests.vectors.draft import LINES, MAGIC, Draft, Edit, encoded, in_lines, recipient_lines

SOUND = Draft()
RAW = SOUND.to_bytes()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def cases() -> Iterator[Case]:
    """Yield them in the order of their files."""
    yield from _not_an_envelope()
    yield from _other_numbers()
    yield from _too_large()
    for rule, drafts in {**MALFORMED_LINES, **MALFORMED_VALUES}.items():
        for name, draft in drafts.items():
            yield Case.of(name, "malformed", draft, rules=(rule,))
    yield from _malformed_bytes()
    yield from _non_canonical()


def _not_an_envelope() -> Iterator[Case]:
    for name, raw in {
        "an empty file": b"",
        "a plain configuration": b'{"hostname": "keepersecurity.com"}',
        "a blob of an official package": b"\xff\xff\x00\x00" + bytes(8),
        "a newer blob of an official package": b"\x01\x02\x02\x00" + bytes(8),
        "a byte order mark twice": b"\xef\xbb\xbf" * 2 + RAW,
        "a space first": b" " + RAW,
        "a line feed first": b"\n" + RAW,
        "another case": RAW.replace(b"ksm", b"KSM", 1),
        "the magic cut off": MAGIC.encode()[:-3],
    }.items():
        yield Case.of(name, "not-an-envelope", raw, rules=("E2",))


def _other_numbers() -> Iterator[Case]:
    for number in ("0", "2", "10", "999999999999999999"):
        version = replace(SOUND, lines=(f"{MAGIC[:-1]}{number}", *LINES[1:]))
        yield Case.of(f"version {number}", "unknown-version", version, rules=("E3",))
        suite = SOUND.with_line("suite", number)
        yield Case.of(f"suite {number}", "unknown-suite", suite, rules=("E8",))


def _too_large() -> Iterator[Case]:
    spare: Repeated = {"repeat": "A" * 63 + "\n", "times": 32_769}
    pieces: Pieces = [*Case.of("", "", SOUND, rules=()).envelope, spare]
    yield Case("more than 2,097,152 bytes", "too-large", ("E1",), pieces)
    other: Repeated = {"repeat": "x", "times": 2_097_153}
    yield Case("before the magic is read", "too-large", ("E1", "R1"), [other])


def _without(name: str) -> Edit:
    return lambda lines: [line for line in lines if not line.startswith(f"{name}: ")]


def _after(name: str, new: str) -> Edit:
    def insert(lines: list[str]) -> list[str]:
        at = next(n for n, line in enumerate(lines) if line.startswith(name))
        return [*lines[: at + 1], new, *lines[at + 1 :]]

    return insert


def _line(name: str, *values: str) -> dict[str, Draft]:
    return {f"{name} {value[:40]!r}": SOUND.with_line(name, value) for value in values}


def _swapped(first: int, second: int) -> Draft:
    def swap(lines: list[str]) -> list[str]:
        lines[first], lines[second] = lines[second], lines[first]
        return lines

    return SOUND.edited(swap)


def _contexts(*groups: tuple[str, ...]) -> dict[str, Draft]:
    return {
        f"context {', '.join(group)[:40]!r}, {number}": SOUND.with_context(*group)
        for number, group in enumerate(groups, 1)
    }


def _recipients(**groups: tuple[str, ...] | list[tuple[str, ...]]) -> dict[str, Draft]:
    return {
        name.replace("_", " "): SOUND.with_recipients(*(g if isinstance(g, list) else [g]))
        for name, g in groups.items()
    }


MALFORMED_LINES: dict[str, dict[str, Draft]] = {
    "E4": {
        f"the byte {byte:#04x} in a value": SOUND.with_line("revision", f"1{chr(byte)}")
        for byte in (0x00, 0x09, 0x0D, 0x1F, 0x7F, 0x80, 0xA0, 0xFF)
    },
    "E6": {
        "no space behind the colon": SOUND.edited(lambda x: [x[0], "suite:1", *x[2:]]),
        "two spaces behind the colon": SOUND.with_line("suite", " 1"),
        "a space at the end": SOUND.with_line("suite", "1 "),
        "a space before the name": SOUND.edited(lambda x: [x[0], " suite: 1", *x[2:]]),
        "an empty value": SOUND.with_line("suite", ""),
        "no colon": SOUND.edited(lambda x: [x[0], "suite 1", *x[2:]]),
        "a name in upper case": SOUND.edited(lambda x: [x[0], "Suite: 1", *x[2:]]),
    },
    "E7": {
        **{
            f"no {name}": SOUND.edited(_without(name))
            for name in (
                *("suite", "envelope-id", "created", "sealed", "revision", "generation"),
                "recipient",
            )
        },
        **{
            f"a second {line.partition(':')[0]}": SOUND.edited(_after(line, line))
            for line in (*LINES[1:7], *LINES[12:])
        },
        "an unknown line": SOUND.edited(_after("revision", "endpoint: http://localhost")),
        "an unknown line at the end": SOUND.edited(_after("message-id", "x: y")),
        "the times swapped": SOUND.edited(lambda x: [*x[:3], x[4], x[3], *x[5:]]),
        "an algorithm before its recipient": _swapped(9, 10),
        "a context behind the recipients": _swapped(7, 14),
        "no recipient": SOUND.with_recipients(),
        "17 recipients": SOUND.with_recipients(
            *(recipient_lines(f"key-file:///{number}") for number in range(17))
        ),
        "17 context pairs": SOUND.with_context(*(f"{number:02}=v" for number in range(17))),
    },
}

MALFORMED_VALUES: dict[str, dict[str, Draft]] = {
    "E7": {
        **MALFORMED_LINES["E7"],
        **_line("envelope-id", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 30 + "0_"),
        **_line("revision", "0", "07", "-1", "+1", "1.0", "1e3", "1_0", "1" + "0" * 18, "x"),
        **_line("generation", "0", "07", "-1", "1.0", "1" + "0" * 18, "x"),
        **_line("suite", "01", "one", "-1", "1" + "0" * 18),
        "a lineage in generation 1": Draft(lineage=encoded(bytes(48))),
        "no lineage in generation 2": SOUND.with_line("generation", "2"),
        **{
            f"a lineage of {length} bytes": replace(
                SOUND.with_line("generation", "2"), lineage=encoded(bytes(length))
            )
            for length in (16, 47, 49, 16 + 33 * 32)
        },
        "a message id of 31 bytes": SOUND.with_line("message-id", encoded(bytes(31))),
        "a message id of 33 bytes": SOUND.with_line("message-id", encoded(bytes(33))),
        "a commitment of 31 bytes": Draft(commitment=encoded(bytes(31))),
        "a header MAC of 33 bytes": Draft(header_mac=encoded(bytes(33))),
    },
    "E9": _line(
        "created",
        *("2026-02-30T00:00:00Z", "2027-02-29T00:00:00Z", "2026-13-01T00:00:00Z"),
        *("2026-11-23T24:00:00Z", "2026-11-23T23:60:00Z", "2026-11-23T23:59:60Z"),
        *("1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        *("2026-11-23T09:30:00", "2026-11-23T09:30:00+00:00", "2026-11-23 09:30:00Z"),
        *("2026-11-23T09:30:00.5Z", "2026-11-23t09:30:00z", "2026-W01-1T00:00:00Z", "20261123"),
    ),
    "E10": {
        "base64 of the URL alphabet": Draft(header_mac="-_" * 21 + "A="),
        "base64 without padding": Draft(header_mac="A" * 43),
        "base64 with too much padding": Draft(header_mac="A" * 43 + "=="),
        "base64 with a space": Draft(header_mac="A" * 20 + " " + "A" * 23 + "="),
        "base64 of another alphabet": Draft(header_mac="!" * 43 + "="),
    },
    "E12": _contexts(
        *(("=v",), ("v",), ("a=",), (".a=v",), ("-a=v",), ("_a=v",), ("a b=v",), ("a:=v",)),
        *(("ksm-storage.x=v",), ("ksm-storage.=v",), (f"{'n' * 65}=v",), (f"a={'v' * 257}",)),
        *(("a= v",), ("a=v ",)),
    ),
    "E13": _contexts(
        *(("b=v", "a=v"), ("a=1", "a=2"), ("a=1", "a=1"), ("a=v", "B=v")),
        ("a=" + "v" * 255, "b=" + "v" * 255, "c=" + "v" * 255, "d=" + "v" * 256),
    ),
    "E14": _recipients(
        no_provider=recipient_lines("://k"),
        no_key_id=recipient_lines("p://"),
        no_separator=recipient_lines("p:k"),
        a_provider_in_upper_case=recipient_lines("P://k"),
        a_provider_with_two_hyphens=recipient_lines("p--q://k"),
        a_provider_that_ends_with_a_hyphen=recipient_lines("p-://k"),
        a_provider_that_begins_with_a_digit=recipient_lines("1p://k"),
        a_provider_of_65_letters=recipient_lines(f"{'p' * 65}://k"),
        a_key_id_with_a_space=recipient_lines("p://k k"),
        a_key_id_of_2049_characters=recipient_lines(f"p://{'k' * 2049}"),
        one_recipient_twice=[recipient_lines("p://k"), recipient_lines("p://k", "other", 3)],
    ),
    "E15": _recipients(
        an_algorithm_with_a_space=recipient_lines(algorithm="A B"),
        an_algorithm_of_65_characters=recipient_lines(algorithm="A" * 65),
        an_empty_wrapped_dek=recipient_lines(wrapped=0),
        a_wrapped_dek_of_8193_bytes=recipient_lines(wrapped=8193),
    ),
    "E16": {
        "no payload": Draft(body=""),
        "a carriage return at the end": Draft(body="A" * 64 + "\r\n"),
        "text behind the payload": Draft(body=in_lines("A" * 64) + "signed: me\n"),
        "a NUL behind the payload": Draft(body=in_lines("A" * 64) + "\0"),
        "a space in the payload": Draft(body="A" * 20 + " " + "A" * 20 + "\n"),
    },
    "E17": {"a payload shorter than its tag": Draft(body=f"{encoded(bytes(15))}\n")},
}


def _malformed_bytes() -> Iterator[Case]:
    for text in ("1\r", "1 ", "01", "x", "", "1" * 19):
        raw = f"ksm-storage envelope v{text}\n".encode() + RAW.partition(b"\n")[2]
        yield Case.of(f"version {text!r}", "malformed", raw, rules=("E2", "E3"))
    crlf = RAW.replace(b"\n", b"\r\n")[:-2] + b"\n"
    yield Case.of("every line but one with a carriage return", "malformed", crlf, rules=("E18",))
    endless = RAW.partition(b"\n\n")[0] + b"\n"
    yield Case.of("no empty line", "malformed", endless, rules=("E5",))
    context: Repeated = {"repeat": "context: a=b\n", "times": 20_165}
    pieces = [f"{line}\n" for line in LINES[:6]]
    tail = RAW[RAW.index(b"recipient: ") :].decode().splitlines(keepends=True)
    long: Pieces = [*pieces, context, *tail]
    yield Case("a header of more than 262,144 bytes", "malformed", ("E5",), long)
    body: Repeated = {"repeat": "A" * 64 + "\n", "times": 21_846}
    head = RAW.partition(b"\n\n")[0].decode().splitlines(keepends=True)
    over: Pieces = [*head[:-1], f"{head[-1]}\n", "\n", body]
    yield Case("a payload of 1,048,577 bytes and more", "malformed", ("E17",), over)


def _non_canonical() -> Iterator[Case]:
    sealed = in_lines(encoded(SOUND.sealed_bytes())).replace("\n", "")
    for name, body in {
        "one line of payload": f"{sealed}\n",
        "lines of 63 characters": in_lines(sealed, 63),
        "lines of 65 characters": in_lines(sealed, 65),
        "an empty line in the payload": f"{sealed[:64]}\n\n{sealed[64:]}\n",
        "an empty line before the payload": f"\n{in_lines(sealed)}",
        "an empty line behind the payload": f"{in_lines(sealed)}\n",
        "unused bits in the payload": in_lines(_unused_bits(sealed)),
    }.items():
        yield Case.of(name, "non-canonical", Draft(body=body), rules=("E16", "E10"))
    mac = base64.b64encode(bytes(32)).decode()
    draft = Draft(header_mac=_unused_bits(mac))
    yield Case.of("unused bits in the MAC", "non-canonical", draft, rules=("E10",))
    message_id = SOUND.lines[-1].partition(": ")[2]
    draft = SOUND.with_line("message-id", _unused_bits(message_id))
    yield Case.of("unused bits in the message id", "non-canonical", draft, rules=("E10",))


def _unused_bits(text: str) -> str:
    """Set the lowest of the unused bits in the last character before the padding."""
    stem = text.rstrip("=")
    last = LETTERS[LETTERS.index(stem[-1]) | 1]
    return stem[:-1] + last + text[len(stem) :]
