"""Finding: a project's folder, and the files of a store, for whoever has no Latchboard yet, or none that works."""

from __future__ import annotations

import os


def find_root(start: str | os.PathLike[str] = ".") -> str:
    """The project's folder for a folder inside it: where `data/.agent_locks` or `.git` is, else the folder itself.

    With the setting `worktrees_shared` it is the main work tree's folder for every work tree of a repository.
    """
    from latchboard.host import tree
    from latchboard.host.configuration import read_settings

    root = tree.root_of(os.fspath(start))
    return tree.shared_root(os.fspath(start)) if read_settings(root).worktrees_shared else root


def record_file(root: str, key: str) -> str:
    """The file of a record in a file store: for a surface that must look by itself, when everything else has failed.

    Raises:
        UsageError: The key cannot be kept.
    """
    from latchboard.store.files import layout

    return f"{root}/{layout.FOLDER}/{layout.record(key)}"
