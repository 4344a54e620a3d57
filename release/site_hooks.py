"""What mkdocs calls while it builds the site."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

_SHIM = "https://unpkg.com/iframe-worker/shim"
_LOCAL_SHIM = "assets/iframe-worker.js"
_CONSOLE = re.compile(r"^```console$.*?^```$", re.DOTALL | re.MULTILINE)
_STANDARD_ERROR = re.compile(r"^! ?", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave out what only the tests need: comments, and the marks of standard error."""
    return _CONSOLE.sub(lambda fence: _STANDARD_ERROR.sub("", fence[0]), _COMMENT.sub("", markdown))


def on_post_build(config: Any, **_: Any) -> None:
    """Fetch nothing at run time, and put each page as plain Markdown beside its HTML."""
    source, site = Path(config["docs_dir"]), Path(config["site_dir"])
    for page in source.rglob("*.md"):
        copy = site / page.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, copy)
    # The theme's search loads this from a server where a page is opened as a file.
    for html in site.rglob("*.html"):
        text = html.read_text(encoding="utf-8")
        depth = len(html.relative_to(site).parts) - 1
        html.write_text(text.replace(_SHIM, "../" * depth + _LOCAL_SHIM), encoding="utf-8")
