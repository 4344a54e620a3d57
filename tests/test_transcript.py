"""The runner of transcripts notices whatever differs from the page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.markdown_page import NotRun, PageError, read_steps
from tests.transcript import TranscriptError, run_page

ROOT = Path(__file__).parent.parent


def run(tmp_path: Path, text: str) -> int:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return run_page(page, tmp_path / "folder")


def console(*lines: str) -> str:
    return "\n".join(["```console", *lines, "```", ""])


@pytest.mark.parametrize(
    "lines",
    [
        ["$ echo one", "one"],
        ["$ printf 'no newline'", "no newline"],
        ["$ echo one; echo two", "one", "two"],
        ["$ echo one; echo; echo two", "one", "", "two"],
        ["$ echo oops >&2", "! oops"],
        ["$ echo out; echo oops >&2; exit 3", "out", "! oops", "[exit 3]"],
        ["$ echo file-1234.tmp", "file-…"],
        ["$ echo first; echo a; echo b; echo last", "first", "…", "last"],
        ["$ echo only", "only", "…"],
        ["$ echo $((2 +  \\", "    3))", "5"],
        ["$ cat > file <<'EOF'", "a $HOME", "EOF", "$ cat file", "a $HOME"],
        ["$ mkdir deep && cd deep", "$ export A=1", "$ basename $PWD; echo $A", "deep", "1"],
        ["$ cat", ""],
    ],
    ids=lambda lines: lines[0],
)
def test_a_command_that_does_what_the_page_says_passes(tmp_path: Path, lines: list[str]) -> None:
    assert run(tmp_path, console(*lines)) == sum(line.startswith("$ ") for line in lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["$ echo one", "two"],
        ["$ echo one", "one", "two"],
        ["$ echo one; echo two", "one"],
        ["$ echo one"],
        ["$ echo '  indented'", "indented"],
        ["$ echo axb", "a.b"],
        ["$ true", "one"],
        ["$ echo oops >&2"],
        ["$ echo oops >&2", "oops"],
        ["$ echo oops", "! oops"],
        ["$ echo oops >&2", "! other"],
        ["$ exit 3"],
        ["$ exit 3", "[exit 4]"],
        ["$ true", "[exit 1]"],
        ["$ echo first; echo last", "first", "…", "middle", "…", "last"],
        ["$ echo file-1", "file-…-end"],
    ],
    ids=lambda lines: " / ".join(lines),
)
def test_a_command_that_does_something_else_fails(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(TranscriptError):
        run(tmp_path, console(*lines))


def test_a_failure_shows_where_and_what_differs(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError) as failure:
        run(tmp_path, "# Title\n\n" + console("$ echo one; echo two", "one", "three"))

    message = str(failure.value)
    assert "page.md:4" in message
    assert "-three" in message
    assert "+two" in message


def test_code_keeps_its_names_over_the_page_and_sees_the_files(tmp_path: Path) -> None:
    page = (
        '<!-- file: data/settings.json -->\n```json\n{"a": 1}\n```\n\n'
        "```python\nimport json, pathlib\nfound = json.loads(pathlib.Path("
        '"data/settings.json").read_text())\n```\n'
        '\n```python\nassert found == {"a": 1}\npathlib.Path("made").write_text("made")\n```\n'
    )

    assert run(tmp_path, page + console("$ cat made", "made")) == 4


@pytest.mark.parametrize(
    "code", ["assert False", "raise SystemExit(0)", "1 +", "import os;os._exit(0)"]
)
def test_code_that_fails_or_exits_fails(tmp_path: Path, code: str) -> None:
    with pytest.raises(TranscriptError):
        run(tmp_path, f"```python\n{code}\n```\n")


def test_a_file_is_written_and_not_run(tmp_path: Path) -> None:
    page = "<!-- file: app.py -->\n```python\nraise SystemExit(7)\n```\n"

    assert run(tmp_path, page + console("$ python app.py", "[exit 7]")) == 2


@pytest.mark.parametrize("name", ["/tmp/outside", "../outside", "a/../../outside"])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TranscriptError, match="below its own folder"):
        run(tmp_path, f"<!-- file: {name} -->\n```json\n{{}}\n```\n")


def test_a_new_folder_is_empty_and_forgets_the_variables(tmp_path: Path) -> None:
    page = console("$ touch old; export NAME=value") + "\n<!-- new folder -->\n\n"

    assert run(tmp_path, page + console("$ ls; echo [$NAME]", "[]")) == 2


def test_a_fence_that_is_not_run_is_told_with_its_reason(tmp_path: Path) -> None:
    page = "<!-- not run: needs a cloud account -->\n" + console("$ false")

    assert run(tmp_path, page) == 0
    assert read_steps(page) == [NotRun(3, "needs a cloud account")]


@pytest.mark.parametrize(
    "page",
    [
        "<!-- not run: -->\n```console\n$ false\n```\n",
        "<!-- not run -->\n```console\n$ false\n```\n",
        "<!-- file: -->\n```json\n{}\n```\n",
        "<!-- not run: reason -->\nA paragraph.\n",
        "```console\nno command\n```\n",
        "```console\n$ true\n",
    ],
)
def test_a_page_of_another_form_is_refused(page: str) -> None:
    with pytest.raises(PageError):
        read_steps(page)


def test_a_command_sees_no_home_and_no_credentials_of_the_developer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("KSM_CONFIG", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")

    page = console(
        "$ echo [$AWS_SECRET_ACCESS_KEY$KSM_CONFIG$HTTPS_PROXY]", "[]", "$ ls -A ~", "run"
    )

    assert run(tmp_path, page) == 2


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes and groups of processes")
def test_what_a_page_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    left = OpenedElsewhere(tmp_path / "pipe")

    run(tmp_path, console(f"$ exec 3> {tmp_path}/pipe; sleep 300 > /dev/null 2>&1 &"))

    left.wait_for_end()


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes and groups of processes")
def test_what_a_page_runs_ends_with_a_killed_runner(tmp_path: Path) -> None:
    left = OpenedElsewhere(tmp_path / "pipe")
    page = tmp_path / "page.md"
    page.write_text(console(f"$ exec 3> {tmp_path}/pipe; echo > ready; sleep 300 & sleep 300"))
    code = (
        "import pathlib, sys; from tests.transcript import run_page; "
        "run_page(*map(pathlib.Path, sys.argv[1:]))"
    )
    runner = subprocess.Popen([sys.executable, "-c", code, page, tmp_path / "folder"], cwd=ROOT)
    wait_until((tmp_path / "folder/0/work/ready").exists)

    runner.kill()
    runner.wait()

    left.wait_for_end()


class OpenedElsewhere:
    """Tell whether any process still has a named pipe open for writing."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def wait_for_end(self) -> None:
        """Wait until the last of them has ended."""
        wait_until(self._is_at_end)
        os.close(self._reader)

    def _is_at_end(self) -> bool:
        try:
            return os.read(self._reader, 1) == b""
        except BlockingIOError:
            return False


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not happen within a minute"
        time.sleep(0.02)


def test_fences_of_other_languages_are_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path, "```text\n$ false\n```\n\n```bash\nfalse\n```\n") == 0
