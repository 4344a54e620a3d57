"""The threat model's table and the tests of this folder name the same attacks."""

from __future__ import annotations

from tests.attacks.claims import claimed, rows


def test_every_row_of_the_threat_model_is_claimed_by_a_test() -> None:
    tested = claimed()

    assert len(rows()) > 15
    assert [row for row in rows() if row not in tested] == []


def test_every_claim_is_a_row_of_the_threat_model() -> None:
    assert {row: tests for row, tests in claimed().items() if row not in rows()} == {}
