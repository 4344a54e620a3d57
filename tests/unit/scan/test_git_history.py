"""A secret is found in the history of a real repository, where no file holds it any more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from ksm_storage.cli.program import cli
from ksm_storage.errors import StorageError
from ksm_storage.scan.detection import Kind
from ksm_storage.scan.git_history import GitHistory
from ksm_storage.scan.tree import MAX_BYTES

PLAIN = '{"clientId": "CID", "privateKey": "PRIVATE"}'
Found = list[tuple[str, str | None, int, Kind]]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.email", "dev@example.com")
    git(tmp_path, "config", "user.name", "Dev")
    (tmp_path / "README").write_text("nothing\n")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=kept, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x", "--no-verify")
    return git(folder, "rev-parse", "--short", "HEAD")


def found_in(folder: Path, *exclude: str) -> Found:
    findings = GitHistory(str(folder), exclude).findings()
    return [(path, where, finding.line, finding.kind) for path, where, finding in findings]


def test_a_file_that_was_deleted_is_found_in_the_commit_that_added_it(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    added = commit(repository)
    (repository / "other").write_text("x")
    commit(repository)
    (repository / "c.json").unlink()
    commit(repository)

    assert found_in(repository) == [("c.json", added, 1, Kind.JSON)]


def test_a_folder_inside_the_repository_searches_all_of_it(repository: Path) -> None:
    (repository / "sub dir").mkdir()
    (repository / "sub dir/a\u00e9.json").write_text(PLAIN)
    added = commit(repository)

    assert found_in(repository / "sub dir") == [("sub dir/a\u00e9.json", added, 1, Kind.JSON)]


def test_other_branches_tags_and_stashes_are_searched(repository: Path) -> None:
    git(repository, "checkout", "-qb", "other")
    (repository / "a.json").write_text(PLAIN)
    on_branch = commit(repository)
    git(repository, "checkout", "-q", "-")
    (repository / "README").write_text(PLAIN + "\n")
    git(repository, "stash", "-q")
    stashed = git(repository, "rev-parse", "--short", "stash@{0}")

    found = {(path, where) for path, where, _, _ in found_in(repository)}

    assert ("a.json", on_branch) in found
    assert any(path == "README" and where is not None for path, where in found), stashed


def test_what_was_staged_and_abandoned_is_found_without_a_commit(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    git(repository, "add", "c.json")
    oid = git(repository, "rev-parse", ":c.json")

    assert found_in(repository) == [("c.json", None, 1, Kind.JSON)]

    git(repository, "rm", "-q", "--cached", "c.json")

    assert found_in(repository) == [(f"object {oid}", None, 1, Kind.JSON)]


def test_packed_objects_are_searched(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    added = commit(repository)
    git(repository, "gc", "-q", "--aggressive")

    assert found_in(repository) == [("c.json", added, 1, Kind.JSON)]


def test_a_file_that_was_renamed_then_deleted_and_packed_is_found_once(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    added = commit(repository)
    git(repository, "mv", "c.json", "d.json")
    commit(repository)
    git(repository, "rm", "-q", "d.json")
    commit(repository)
    git(repository, "gc", "-q", "--aggressive", "--prune=now")

    ((path, where, line, kind),) = found_in(repository)

    assert path in ("c.json", "d.json")
    assert (where, line, kind) == (added, 1, Kind.JSON)


def test_a_delta_in_a_pack_is_searched_and_so_is_utf_16_without_a_mark(repository: Path) -> None:
    rest = "".join(f"line {n}\n" for n in range(400))
    (repository / "notes").write_text(rest)
    (repository / "windows.json").write_bytes(PLAIN.encode("utf-16-le"))
    (repository / "photo.png").write_bytes(b"\x89PNG\0\0\0\rIHDR" + PLAIN.encode())
    first = commit(repository)
    (repository / "notes").write_text(f"{rest}token=US:{'Ab0-' * 10}Ab0\n")
    second = commit(repository)
    git(repository, "gc", "-q", "--aggressive")

    assert sorted(found_in(repository), key=lambda found: found[0]) == [
        ("notes", second, 401, Kind.TOKEN),
        ("windows.json", first, 1, Kind.JSON),
    ]


def test_what_is_excluded_binary_or_too_large_is_skipped(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    (repository / "b.bin").write_bytes(b"\0" + PLAIN.encode())
    (repository / "large").write_bytes(b"x" * (MAX_BYTES + 1))
    commit(repository)
    history = GitHistory(str(repository), ["*.json"])

    assert list(history.findings()) == []
    assert history.too_large == ["large"]


def test_no_setting_of_the_repository_runs_a_program(repository: Path) -> None:
    ran = repository / "ran"
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    (repository / "c.json").write_text(PLAIN)
    (repository / ".gitattributes").write_text("*.json diff=planted filter=planted\n")
    commit(repository)
    for name in (
        *("core.fsmonitor", "core.pager", "pager.log", "diff.external", "diff.planted.textconv"),
        *("diff.planted.command", "filter.planted.smudge", "gpg.program", "core.sshCommand"),
    ):
        git(repository, "config", name, str(program))
    git(repository, "config", "log.showSignature", "true")

    assert found_in(repository)
    assert not ran.exists()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="git cannot read the repository") as caught:
        found_in(tmp_path)

    assert caught.value.hint


def test_without_git_it_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(StorageError, match="cannot run git"):
        found_in(repository)


def test_the_command_names_the_commit_and_shows_no_value(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    added = commit(repository)
    (repository / "c.json").unlink()
    commit(repository)

    plain = CliRunner().invoke(cli, ["scan", str(repository)])
    history = CliRunner().invoke(cli, ["scan", "--git", str(repository), f"{repository}/README"])

    assert plain.output == ""
    assert history.stdout == f"c.json:1: plain configuration (JSON) (commit {added})\n"
    assert "PRIVATE" not in history.output
