"""The AWS client's descriptions of services, read from its files once in a process."""

from __future__ import annotations

from functools import lru_cache

from botocore.loaders import Loader, create_loader


@lru_cache(maxsize=4)
def shared_loader(data_path: str | None) -> Loader:
    """Return the loader of a search path.

    Reading and parsing the files is four fifths of what a client costs, and a command over many
    files makes a client for each (docs/decisions/0101-aws-client.md). What is kept is what lies
    in the files, nothing of a caller.
    """
    return create_loader(data_path)
