"""``ksm-storage rekey``: seal a file under a new DEK."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..batch.provider_queue import FileResult
from ..keys.kek import KekPool
from ..storage.open_policy import OpenPolicy, read_keys
from ..storage.reading import resolved
from ..storage.rekeying import Rekeyed, rekey_file
from ..storage.rewrapping import existing_envelope
from .many_files import Files, many_files_options, services_in_header
from .options import context_option, json_option, setting_option
from .pace_options import pace_options
from .rewrap import unproven_notes


@click.command()
@many_files_options
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="URI",
    help="A key of the new DEK; repeatable. Without it the file keeps its keys.",
)
@context_option
@setting_option
@pace_options
@json_option
def rekey(
    files: Files,
    keys: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> int:
    """Seal each of PATHS under a new DEK, wrapped anew under each key.

    Whatever anyone knows of the old DEK is worth nothing for the new file. Each key must unwrap
    the new DEK before the file is replaced. Copies of the old file stay what they are.
    """
    with KekPool(settings) as pool:
        policy = OpenPolicy.from_args(None, context, settings, pool=pool)
        policy = policy.with_timeout(timeout, hedge)
        new = read_keys(keys) if keys else None

        def work(path: str) -> FileResult:
            if files.dry_run:
                existing_envelope(resolved(path), path)
                return FileResult(
                    "would rekey", said=(f"would rekey {path}",), content={"path": path}
                )
            return _rekeyed(rekey_file(path, policy, new), path)

        return files.run(work, service_of=services_in_header(), as_json=as_json, one_object=True)


def _rekeyed(done: Rekeyed, path: str) -> FileResult:
    content = {
        "path": done.path,
        "revision": done.revision,
        "keys": list(done.keys),
        "removed": list(done.removed),
        "unproven": list(done.unproven),
    }
    said = [f"sealed {path} anew under {key}" for key in done.keys]
    said += [f"removed {key} from {path}" for key in done.removed]
    said += unproven_notes(done.unproven, path)
    return FileResult("rekeyed", said=tuple(said), content=content)
