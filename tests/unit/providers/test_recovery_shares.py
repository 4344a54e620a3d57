"""A recovery secret in shares: enough of them give it back, and no mistake goes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path

import pytest
from shamir_mnemonic import EncryptedMasterSecret, MnemonicError, combine_mnemonics, split_ems

from ksm_storage.errors import SettingsError
from ksm_storage.providers.recovery_secret import (
    missing_shares,
    secret_of,
    share_sheets,
    shares_of,
    words_of,
)

SECRET = bytes(range(32))
SHARES = [" ".join(share) for share in shares_of(SECRET, needed=2, total=3)]
OTHERS = [" ".join(share) for share in shares_of(bytes(32), needed=2, total=3)]
OFFICIAL: list[tuple[str, list[str], str, str]] = json.loads(
    (Path(__file__).parents[2] / "vectors/outside/slip_39.json").read_text(encoding="utf-8")
)


def joined(shares: Sequence[str]) -> str:
    return "\n".join(shares)


@pytest.mark.parametrize("chosen", [*combinations(SHARES, 2), *permutations(SHARES)])
def test_any_two_of_three_give_the_secret(chosen: Sequence[str]) -> None:
    assert secret_of(joined(chosen)) == SECRET
    assert missing_shares(joined(chosen)) == 0


@pytest.mark.parametrize(("needed", "total"), [(2, 2), (3, 5), (16, 16)])
def test_other_numbers_of_shares(needed: int, total: int) -> None:
    shares = [" ".join(share) for share in shares_of(SECRET, needed=needed, total=total)]

    assert len(shares) == total
    assert missing_shares(shares[0]) == needed - 1
    assert secret_of(joined(shares[-needed:])) == SECRET


@pytest.mark.parametrize(("needed", "total"), [(1, 1), (1, 3), (0, 2), (3, 2), (2, 17)])
def test_a_split_that_makes_no_sense_is_refused(needed: int, total: int) -> None:
    with pytest.raises(SettingsError, match="cannot split the secret") as caught:
        shares_of(SECRET, needed=needed, total=total)

    assert "--shares 2/3" in (caught.value.hint or "")


def test_shares_are_read_as_they_are_printed_and_typed() -> None:
    printed = share_sheets([share.split() for share in SHARES], needed=2)

    assert secret_of(f"recovery://office/abc\n{printed}") == SECRET
    assert secret_of(printed.replace("\n", "\r\n").upper()) == SECRET
    assert printed.count("# share ") == 3


def altered(share: str, place: int, word: str) -> str:
    words = share.split()
    words[place] = word
    return " ".join(words)


FIRST_WORDS = SHARES[0].split()
SWAPPED = " ".join([*FIRST_WORDS[:5], FIRST_WORDS[6], FIRST_WORDS[5], *FIRST_WORDS[7:]])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (SHARES[0], "2 different shares are needed, found 1"),
        (joined([SHARES[0], SHARES[0]]), "2 different shares are needed, found 1"),
        (joined([SHARES[0], OTHERS[1]]), "belong to different sets"),
        (joined([SHARES[0], altered(SHARES[1], 8, "canaryword")]), "word 9 of share 2"),
        (joined([SHARES[0], altered(SHARES[1], 8, "academic")]), "checksum of share 2 is wrong"),
        (joined([SWAPPED, SHARES[1]]), "checksum of share 1 is wrong"),
        (joined([SHARES[0], SHARES[1].rpartition(" ")[0]]), "expected 24 .* found 65"),
        (joined([SHARES[0], " ".join(words_of(SECRET))]), "expected 24 .* found 57"),
    ],
    ids=["too few", "twice", "mixed", "no word", "checksum", "swapped", "cut", "words as well"],
)
def test_each_mistake_is_one_error_without_a_word_of_it(text: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match) as caught:
        secret_of(text)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    shown = f"{caught.value} {caught.value.hint}".split()
    # The message's own words, such as "belong", may be among those that were drawn.
    drawn = {word for word in text.split() if len(word) > 5} - set(match.split())
    assert not drawn & set(shown)


def test_shares_that_only_look_like_one_set_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same identifier, which is drawn at random, for two secrets.
    monkeypatch.setattr("shamir_mnemonic.shamir._random_identifier", lambda: 7)
    mixed = [shares_of(bytes([number]) * 32, needed=2, total=2)[number] for number in range(2)]

    with pytest.raises(SettingsError, match="cannot be combined") as caught:
        secret_of(joined([" ".join(share) for share in mixed]))

    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("exponent", "threshold", "groups"),
    [(0, 2, [(1, 1), (1, 1)]), (15, 1, [(2, 2)])],
    ids=["groups", "minutes of work"],
)
def test_shares_of_another_kind_are_refused_before_any_work(
    exponent: int, threshold: int, groups: list[tuple[int, int]]
) -> None:
    claimed = EncryptedMasterSecret(7, True, exponent, SECRET)
    shares = [
        share.mnemonic() for group in split_ems(threshold, groups, claimed) for share in group
    ]

    with pytest.raises(SettingsError, match="are not those of a recovery key"):
        secret_of(joined(shares))


@pytest.mark.parametrize("vector", OFFICIAL, ids=lambda vector: vector[0].partition(".")[0])
def test_the_official_vectors(vector: tuple[str, list[str], str, str]) -> None:
    _, mnemonics, secret, _ = vector

    if secret:
        assert combine_mnemonics(mnemonics, b"TREZOR").hex() == secret
    else:
        with pytest.raises(MnemonicError):
            combine_mnemonics(mnemonics, b"TREZOR")
        with pytest.raises(SettingsError):
            secret_of(joined(mnemonics))
