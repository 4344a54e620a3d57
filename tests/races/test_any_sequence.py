"""Any sequence of what can be done to a file, crashes and failures among it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.long_form import LONG_FORM
from tests.races.any_sequence import AnySequence


@pytest.mark.timeout(3600 if LONG_FORM else 300)
def test_the_file_holds_what_a_dict_holds_after_any_sequence() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # hypothesis leaves it so
        AnySequence,
        settings=settings(
            max_examples=200 if LONG_FORM else 30,
            stateful_step_count=50 if LONG_FORM else 25,
            # The same sequences in each run of continuous integration, others in the long form.
            derandomize=not LONG_FORM,
            database=None,
            deadline=None,
            # To make a sequence shorter takes minutes, each crash being a process.
            phases=[Phase.generate, Phase.shrink] if LONG_FORM else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
