"""Draw a terminal session as SVG, from a run: ``python -m examples.demo.picture FILE``.

The key is in AWS KMS, played by the emulator. What differs from run to run is replaced, so that
two runs give the same picture.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS = 90
CONFIG = (
    '{"clientId": "Vk9vR...", "privateKey": "MIGHAgEA...", "appKey": "uXr1...", '
    '"hostname": "keepersecurity.eu"}\n'
)
SESSION = (
    ("cut -c 1-72 client-config.json", "anyone who reads this file reads your secrets"),
    ("ksm-storage protect client-config.json --key aws-kms://alias/ksm", ""),
    ("head -3 client-config.json", "now it takes a call to KMS to read it"),
    ("ksm-storage check client-config.json", ""),
    (
        "python -c 'from ksm_storage import open_storage\n"
        '> print(open_storage("client-config.json").get("hostname"))\'',
        "one line changes in your application",
    ),
)
_SAME_EVERY_TIME = (
    (re.compile(r"key/mrk-[0-9a-f]{32}|key/[0-9a-f-]{36}"), "key/1234abcd-12ab-34cd"),
    (re.compile(r"aws-kms://…\S+"), "aws-kms://…/1234abcd-12ab-34cd"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-29T03:00:00Z"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "f433fd8c5fdfcfcd5ac2dbd48a76abde"),
)
# The fonts of rich's own form come from a server; a page must not fetch anything for a picture.
_FONTS = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)


def main() -> None:
    """Write the picture."""
    Path(sys.argv[1]).write_text(picture(), encoding="utf-8")


def picture() -> str:
    """Run the session and return it as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder, _key_service() as environment:
        Path(folder, "client-config.json").write_text(CONFIG)
        for command, remark in SESSION:
            if remark:
                console.print(Text(f"# {remark}", style="dim"))
            console.print(Text.assemble(("$ ", "green"), (command, "bold")))
            console.print(_output(command, Path(folder), environment))
    form = _FONTS.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code, monospace", "monospace")
    drawn = console.export_svg(title="ksm-storage", code_format=form, unique_id="session")
    return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)


def _output(command: str, folder: Path, environment: Mapping[str, str]) -> Text:
    done = subprocess.run(
        ["bash", "-c", command.replace("\n> ", "\n")],
        cwd=folder,
        env={**environment, "HOME": str(folder), "COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    output = done.stdout
    for pattern, instead in _SAME_EVERY_TIME:
        output = pattern.sub(instead, output)
    return Text.from_ansi(output)


@contextmanager
def _key_service() -> Iterator[Mapping[str, str]]:
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.emulator import Emulator

    service = AwsKmsService()
    with Emulator(service) as emulator:
        service.create_key(alias="alias/ksm")
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        yield {**emulator.environment(), "PATH": path}


if __name__ == "__main__":
    main()
