"""To follow one operation takes so many files and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.files_per_operation import Operation, aws_operations, counted, local_operations

MAX_FILES = {"open and get": 20, "set": 14, "protect": 26, "engine read": 18}
# The direct call sends its request through the kit, over a connection that the kit keeps open,
# where the other calls the AWS client.
MAX_AWS_FILES = {"AWS unwrap": 12, "AWS unwrap, direct": 14}


@pytest.fixture(scope="module")
def operations() -> Iterator[dict[str, Operation]]:
    with local_operations() as found:
        yield found


@pytest.mark.parametrize("name", MAX_FILES)
def test_an_operation_runs_through_no_more_files(
    name: str, operations: dict[str, Operation]
) -> None:
    files = counted(operations[name])

    assert len(files) <= MAX_FILES[name], "\n".join(files)


def test_an_aws_unwrap_runs_through_no_more_files() -> None:
    pytest.importorskip("ksm_storage_aws_kms")

    with aws_operations() as found:
        files = {name: counted(operation) for name, operation in found.items()}

    assert {name for name in files if len(files[name]) > MAX_AWS_FILES[name]} == set(), files


def test_the_count_sees_each_file_whose_functions_run(operations: dict[str, Operation]) -> None:
    assert {
        "ksm_storage/storage/encrypted_storage.py",
        "ksm_storage/envelope/opening.py",
        "ksm_storage/providers/key_file.py",
    } <= set(counted(operations["open and get"]))
