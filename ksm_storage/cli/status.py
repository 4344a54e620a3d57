"""``ksm-storage status``: what is known of sealed files and their keys."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..batch.provider_queue import FileResult
from ..envelope.sealing import current_time
from ..keys.discovery import COMPUTED
from ..keys.kek import KekPool
from ..keys.trust_rules import TrustRule
from ..status.file_status import FileStatus, examine, lines_of
from ..status.key_facts import KeyFacts
from ..status.key_loss import KeyLossImpact, is_lost_by
from ..status.policy import broken_rules, read_policy
from ..storage.open_policy import OpenPolicy, read_key
from .commands import command
from .many_files import Files, many_files_options, services_in_header
from .options import Settings, json_option, setting_option, timeout_option, trust_option
from .output import echo_err

CALLS_FOR_ATTENTION = 6


@command()
@many_files_options
@click.option(
    "--offline", is_flag=True, help="Read the headers only, without calling a key service."
)
@click.option(
    "--check", "policy_file", metavar="POLICY", help="Compare the files with trust rules."
)
@click.option(
    "--would-lose",
    "key",
    metavar="URI",
    help="List only the files that nothing opens once this key is destroyed.",
)
@click.option(
    "--version",
    metavar="VERSION",
    help="For --would-lose: only this version, or key material, of the key.",
)
@trust_option
@setting_option
@timeout_option
@json_option
def status(
    files: Files,
    offline: bool,
    policy_file: str | None,
    key: str | None,
    version: str | None,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Show the keys of each of PATHS, their state and version, and the age of the file.

    Each file is opened once to verify its header; nothing is changed or shown. Exits with 6 if a
    file is damaged, breaks a rule or would be lost.
    """
    if version is not None and key is None:
        raise click.UsageError("--version requires --would-lose")
    if key is not None and policy_file is not None:
        raise click.UsageError("--would-lose and --check cannot be combined")
    rules = None if policy_file is None else read_policy(policy_file)
    with KekPool(settings) as pool:
        pinned = OpenPolicy.from_args(trust or None, None, settings, pool=pool)
        facts = None if offline else KeyFacts(pool, pinned.keys)
        if key is not None:
            search = _LossSearch(KeyLossImpact.of(read_key(key), version, facts), facts)
            code = files.run(
                search.done,
                service_of=services_in_header(pinned.keys),
                as_json=as_json,
                timeout=timeout,
            )
            search.conclude()
            return code

        def work(path: str) -> FileResult:
            return _told(examine(path, facts, None if facts is None else pinned), rules)

        return files.run(
            work,
            service_of=services_in_header(pinned.keys),
            as_json=as_json,
            timeout=timeout,
            forked=COMPUTED,
        )


class _LossSearch:
    """Find the files that would be lost, and whether the key is used by any at all."""

    def __init__(self, destruction: KeyLossImpact, facts: KeyFacts | None) -> None:
        self._destruction = destruction
        self._facts = facts
        self._concerned = False

    def done(self, path: str) -> FileResult:
        """Look at one file."""
        found = examine(path, self._facts)
        if any(self._destruction.concerns(recipient) for recipient in found.recipients):
            self._concerned = True
        if is_lost_by(self._destruction, found):
            content = found.as_dict()
            return FileResult(
                "lost", printed=(path,), content=content, exit_code=CALLS_FOR_ATTENTION
            )
        return FileResult("kept", content=found.as_dict())

    def conclude(self) -> None:
        """Warn if the key may have been mistyped."""
        if not self._concerned:
            echo_err(f"note: none of the files uses {self._destruction.key}")
            if self._facts is None:
                echo_err("note: aliases are resolved only without --offline")


def _result(found: FileStatus, *, broken: bool) -> str:
    if found.exit_code:
        return "refused"
    if broken:
        return "broken"
    return "ok" if found.problem is None else "unverified"


def _told(found: FileStatus, rules: Sequence[TrustRule] | None) -> FileResult:
    now = current_time()
    broken = [] if rules is None else broken_rules(rules, found, now=now)
    content = found.as_dict()
    if rules is not None:
        content["broken_rules"] = broken
    lines = (*lines_of(found, now=now), *(f"  broken: {clause}" for clause in broken))
    if found.problem is not None and found.exit_code:
        content["error"] = found.problem.as_dict()
    return FileResult(
        _result(found, broken=bool(broken)),
        printed=lines,
        content=content,
        exit_code=CALLS_FOR_ATTENTION if broken else found.exit_code,
        status="failed" if found.exit_code else "done",
    )
