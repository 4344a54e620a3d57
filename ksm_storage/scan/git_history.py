"""Search the whole history of a git repository: every file that any commit or stash ever had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ..errors import StorageError
from .detection import Finding, find_secrets
from .tree import MAX_BYTES, is_binary, is_excluded

# The repository may be anyone's: none of its settings may run a program or reach the network.
_SAFE = (
    *("--no-pager", "--no-replace-objects", "--literal-pathspecs"),
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.allow=never", "-c", "log.showSignature=false"),
)
_SAFE_ENVIRONMENT = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class Blob(NamedTuple):
    """Hold the id of a file's content, its size and the path under which it was found."""

    oid: str
    size: int
    path: str


class GitHistory:
    """Search the git repository that holds a path.

    Each content is searched once, however many commits have it: also what is staged, stashed, in
    the reflog, or was abandoned and not yet collected.

    Attributes:
        read: How many contents were searched.
        too_large: The paths of those that were skipped because of their size.
    """

    def __init__(self, path: str, exclude: Sequence[str] = ()) -> None:
        self._folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
        self._exclude = tuple(exclude)
        self.read = 0
        self.too_large: list[str] = []

    def findings(self) -> Iterator[tuple[str, str | None, Finding]]:
        """Yield the path, the first commit with the content (None if no commit), and the finding.

        Raises:
            StorageError: It is not a git repository, or git is not installed or fails.
        """
        with self._started("cat-file", "--batch") as contents:
            for blob in self._blobs():
                content = _content(contents, blob)
                if is_binary(content):
                    continue
                self.read += 1
                findings = list(find_secrets(content))
                commit = self._first_commit(blob.oid) if findings else None
                yield from ((blob.path, commit, finding) for finding in findings)

    def repository(self) -> str:
        """Return the path of the repository's own folder, which several paths may share.

        Raises:
            StorageError: It is not a git repository, or git is not installed or fails.
        """
        return os.fsdecode(self._output("rev-parse", "--absolute-git-dir").rstrip(b"\n"))

    def _blobs(self) -> Iterator[Blob]:
        paths = self._paths()
        for line in self._output("cat-file", "--batch-all-objects", "--batch-check").splitlines():
            oid, kind, size = line.split(b" ")
            path = paths.get(oid.decode(), "")
            if kind != b"blob" or (path and is_excluded(path, self._exclude)):
                continue
            if int(size) > MAX_BYTES:
                self.too_large.append(path or f"object {oid.decode()}")
                continue
            yield Blob(oid.decode(), int(size), path or f"object {oid.decode()}")

    def _paths(self) -> dict[str, str]:
        listed = self._output("rev-list", "--objects", "--all", "--reflog", "--indexed-objects")
        named = (line.partition(b" ") for line in listed.splitlines())
        return {oid.decode(): os.fsdecode(path) for oid, _, path in named if path}

    def _first_commit(self, oid: str) -> str | None:
        found = self._output(
            # -m: a stash is a merge, and a merge may add what no parent has. By parents and not by
            # dates, which a rebase makes equal and a wrong clock turns around.
            *("log", "--all", "--reflog", "--topo-order", "--reverse", "-m", "--no-patch"),
            *("--no-ext-diff", "--no-textconv", "--format=%h", f"--find-object={oid}"),
        )
        return found.decode().partition("\n")[0] or None

    def _output(self, *arguments: str) -> bytes:
        with self._started(*arguments) as git:
            output, _ = git.communicate()
        if git.returncode:
            raise StorageError(
                f"git cannot read the repository of {self._folder!r}",
                hint="it must be a git repository that belongs to this user; git's own words: "
                f"git -C PATH {arguments[0]}",
            )
        return output

    @contextmanager
    def _started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        # A hook sets GIT_DIR and the like for the repository that it runs for.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            git = subprocess.Popen(  # noqa: S603  # no shell, and no word from a file
                ["git", *_SAFE, "-C", self._folder, *arguments],  # noqa: S607  # from PATH
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**kept, **_SAFE_ENVIRONMENT},
            )
        except OSError as exc:
            raise StorageError("cannot run git", hint="install git") from exc
        with git:
            try:
                yield git
            finally:
                if git.poll() is None:
                    git.kill()


def _content(git: subprocess.Popen[bytes], blob: Blob) -> bytes:
    if git.stdin is None or git.stdout is None:
        raise StorageError("cannot run git")
    try:
        git.stdin.write(f"{blob.oid}\n".encode())
        git.stdin.flush()
        git.stdout.readline()
        content = git.stdout.read(blob.size + 1)
    except BrokenPipeError:
        content = b""
    if len(content) != blob.size + 1:
        raise StorageError(f"git cannot read the object {blob.oid}", hint="run: git fsck")
    return content[:-1]
