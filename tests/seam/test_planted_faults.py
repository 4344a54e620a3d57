"""The conformance suite fails for each planted fault, and passes for the honest plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ksm_storage.testing.conformance import KeyWrapperConformance
from ksm_storage.testing.distributions import write_distribution
from ksm_storage.testing.plugin_tests import StandardOptionTests
from ksm_storage.testing.surroundings_tests import NetworkTests, ProcessTests

REPOSITORY = Path(__file__).parents[2]
MODULES = "tests.seam.planted"

OVER_HTTP = (StandardOptionTests, NetworkTests, ProcessTests)

Outcomes = Mapping[str, Mapping[str, set[str]]]

# The test by whose name the author learns what is wrong.
CAUGHT_BY = {
    "DecryptsWithoutTheKeysName": (
        "test_a_dek_of_another_kek_under_this_ones_name_is_a_decryption_error"
    ),
    "IgnoresTheKeyId": "test_a_dek_under_another_keks_name_is_a_decryption_error",
    "IgnoresTheAlgorithm": "test_another_algorithms_name_is_a_decryption_error",
    "DropsTheAad": "test_another_aad_is_refused_exactly_if_the_plugin_binds_it",
    "IgnoresTheAad": "test_another_aad_is_refused_exactly_if_the_plugin_binds_it",
    "BindsOnlyTheValues": "test_another_aad_is_refused_exactly_if_the_plugin_binds_it",
    "DeniesThatItBindsTheAad": "test_another_aad_is_refused_exactly_if_the_plugin_binds_it",
    "ChangesItsMindAboutTheAad": "test_binds_aad_is_a_plain_answer",
    "BindsTheOrderOfTheAad": "test_the_order_of_the_pairs_does_not_matter",
    "RefusesLongAads": "test_an_aad_as_long_as_contexts_get_is_accepted",
    "NeedsAnAad": "test_no_aad_is_an_aad_too",
    "HasAFixedNonce": "test_two_wraps_of_one_dek_differ",
    "DoesNotEncrypt": "test_the_ciphertext_hides_the_dek",
    "IgnoresTheErrorTable": "test_a_fault_is_its_documented_error",
    "DropsTheCause": "test_a_fault_is_its_documented_error",
    "RaisesTheSdksError": "test_damage_is_a_decryption_error",
    "RepeatsTheSdksText": "test_a_refusal_repeats_no_text_of_the_sdk",
    "ReturnsJunk": "test_damage_is_a_decryption_error",
    "ForgetsTrailingBytes": "test_damage_is_a_decryption_error",
    "StripsTheDek": "test_every_kind_of_dek_survives",
    "ReturnsAByteArray": "test_an_unwrapped_dek_is_the_one_that_was_wrapped",
    "LeavesTheAliasUnresolved": "test_an_alias_is_resolved",
    "RenamesItsKeyEachTime": "test_the_key_id_and_the_algorithm_are_the_same_each_time",
    "HasSpacesInItsNames": "test_the_algorithm_has_a_name",
    "LogsTheDek": "test_no_log_record_shows_the_dek_at_any_level",
    "Prints": "test_nothing_is_printed",
    "ShowsTheDekInItsRepr": "test_a_repr_shows_neither_the_dek_nor_a_secret_setting",
    "CallsTheServiceWhenOpened": "test_opening_calls_nothing",
    "CallsTwice": "test_wrapping_makes_the_calls_that_are_documented",
    "MixesItsThreadsUp": "test_eight_threads_share_one_key_wrapper",
    "ClosesOnce": "test_closing_twice_does_nothing",
    "ClosesEverySession": "test_closing_one_key_wrapper_leaves_another_of_the_same_key_open",
    "BreaksAfterAFailure": "test_the_key_wrapper_works_again_after_a_fault",
    "KnowsOnlyTheNameItWasGiven": "test_an_alias_unwraps_what_its_key_wrapped",
    "SaysItsKeyIsDisabled": "test_a_key_that_opens_is_described_as_enabled",
    "NamesAnotherVersion": "test_a_fresh_wrap_is_under_the_current_version",
    "ForgetsThatItsKeyIsPublic": ("test_a_key_whose_algorithm_needs_no_secret_is_called_public"),
    "KnowsNoCaller": "test_the_access_is_described",
    "DeniesItsCaller": "test_no_permission_is_missing_for_the_suites_own_caller",
    "ForgetsWhatOpeningTakes": "test_each_permission_has_a_need",
    "HasNoTimeOut": "test_a_service_that_does_not_answer_is_given_up",
    "BoundsEachReadButNotTheCall": "test_a_service_that_does_not_answer_is_given_up",
    "SendsPlainHttpThroughAProxy": "test_plain_http_to_this_machine_goes_through_no_proxy",
    "FollowsRedirects": "test_a_redirect_is_not_followed",
    "LeavesTheDekOnTheCause": "test_a_reply_that_repeats_the_dek_leaves_it_on_no_error",
    "LeavesTheDekOnTheContext": "test_a_reply_that_repeats_the_dek_leaves_it_on_no_error",
    "UsesItsConnectionAcrossAFork": "test_a_forked_child_uses_no_connection_of_its_parent",
    "ReadsStandardInput": "test_standard_input_is_left_to_the_program",
    "ChecksNoSettings": "test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened",
    "RefusesThisMachine": "test_plain_http_to_this_machine_is_accepted",
    "Untidy": "test_the_hooks_do_not_import_the_sdk",
}

# The fixture's one run of the suite counts as part of the first test, on a busy machine too.
pytestmark = pytest.mark.timeout(300)

# It is about what the author writes into the test, so that no fault of a plugin makes it fail.
ABOUT_THE_AUTHOR = {"test_a_key_id_is_one_that_a_uri_can_hold"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run the suite over all planted faults once, in a process of its own."""
    folder = tmp_path_factory.mktemp("planted")
    providers = {name: f"{MODULES}.{name}_plugin" for name in ("planted", "untidy")}
    providers["planted-http"] = f"{MODULES}.planted_http"
    write_distribution(folder, "planted", providers=providers)
    report = folder / "report.xml"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"),
            *(f"--rootdir={folder}", "-c", os.devnull, f"--junitxml={report}"),
            str(Path(__file__).with_name("planted") / "suite.py"),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout + ran.stderr
    return _read(report)


def _read(report: Path) -> Outcomes:
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for case in ET.parse(report).iter("testcase"):
        subject = case.attrib["classname"].rpartition(".Test")[2]
        outcome = next((child.tag for child in case if child.tag != "system-out"), "passed")
        found[subject][outcome].add(case.attrib["name"].partition("[")[0])
    return found


def test_the_honest_plugins_pass_every_test(outcomes: Outcomes) -> None:
    of_http = {name for group in OVER_HTTP for name in dir(group) if name.startswith("test_")}

    assert outcomes["Honest"].keys() <= {"passed", "skipped"}
    assert outcomes["Honest"].get("skipped", set()) <= of_http, "it is in this process"
    assert outcomes["HonestHttp"].keys() == {"passed"}
    assert outcomes["HonestHttp"]["passed"] == of_http


def test_an_author_who_supplies_only_what_is_required_sees_skips_and_no_failure(
    outcomes: Outcomes,
) -> None:
    assert set(outcomes["Bare"]) == {"passed", "skipped"}


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_the_suite_catches(outcomes: Outcomes, fault: str) -> None:
    assert CAUGHT_BY[fault] in outcomes[fault]["failure"]


def test_every_planted_fault_is_expected_somewhere(outcomes: Outcomes) -> None:
    assert set(outcomes) - {"Honest", "HonestHttp", "Bare"} == set(CAUGHT_BY)


def test_every_test_of_the_suite_fails_for_some_fault(outcomes: Outcomes) -> None:
    names = {name for name in dir(KeyWrapperConformance) if name.startswith("test_")}
    failed = {name for found in outcomes.values() for name in found.get("failure", ())}

    assert names - failed == ABOUT_THE_AUTHOR
