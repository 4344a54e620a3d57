"""``make demo`` tells its story to the end, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.demo.stage import DemoFailedError, Stage

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "examples.demo"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the demo an empty folder in which to make its own."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def vault_port(told: str) -> int:
    found = re.search(r"listens on https://127\.0\.0\.1:(\d+)", told)
    assert found is not None, told
    return int(found[1])


def test_the_story_is_told_to_its_end(place: Path) -> None:
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=55, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n--- ") == 12
    # Only some systems let a program speak from a second loopback address.
    alone = "has no address" in done.stdout
    assert done.stdout.count("    => ") == (12 if alone else 13)
    assert alone or "locked to another address" in done.stdout
    for refusal in ("already redeemed", "does not exist", "altered data", "was revoked"):
        assert refusal in done.stdout
    assert "pip install" not in done.stdout
    assert list(place.iterdir()) == []
    assert not takes_connections(vault_port(done.stdout))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "kill"]
)
def test_it_cleans_up_when_it_is_stopped(place: Path, number: int, code: int) -> None:
    told = ""
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "ksm-storage init" not in told:
            told += process.stdout.readline() or pytest.fail(told)
        os.kill(process.pid, number)
        process.communicate(timeout=30)

    assert process.returncode == code
    assert list(place.iterdir()) == []
    assert not takes_connections(vault_port(told))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("story.NOTATION = 'keeper://nobody/field/login'", "'ksm-storage secret' failed"),
        ("story.TITLE = 'SQLite format 3'", "holds a secret in the clear"),
        ("another_machine.OTHER_ADDRESS = '127.0.0.1'", "was not refused"),
    ],
    ids=["failure", "plaintext", "not refused"],
)
def test_a_story_that_goes_wrong_says_so_and_cleans_up(
    place: Path, change: str, complaint: str
) -> None:
    code = (
        "import sys; from examples.demo import another_machine, story;"
        f"{change}; sys.exit(story.main())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert done.returncode == 1, done.stdout
    assert complaint in done.stderr
    assert list(place.iterdir()) == []


def test_a_command_that_no_step_shows_fails_the_demo(place: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        scene = Stage(place, {}, pool)
        scene.begin_program([sys.executable, "-S", "-c", ""], {})

        with pytest.raises(DemoFailedError, match="never shown"):
            scene.ends()


def test_the_picture_in_the_readme_is_what_a_run_draws(place: Path) -> None:
    drawn = place / "session.svg"
    subprocess.run([sys.executable, "-m", "examples.demo.picture", str(drawn)], check=True)

    committed = ROOT / "docs/pictures/session.svg"
    assert drawn.read_text() == committed.read_text(), "run: make picture"
    # A page must not fetch anything for a picture.
    assert "url(http" not in drawn.read_text()
