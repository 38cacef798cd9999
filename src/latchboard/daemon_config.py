"""Daemon configuration: the line about daemons in a project's settings file.

Protocol: protocol/daemon.md, "Generated configuration".
"""

from __future__ import annotations

from latchboard.rules import daemon as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class SettingsText(Protocol):
        """The project's settings as a file that people edit."""

        path: str

        def read(self) -> str:
            """Its text; "" when there is none."""
            ...

        def value_of(self, name: str) -> Any:
            """What the project's files say about one setting; None when they say nothing."""
            ...

        def replace(self, text: str, *, instead_of: str) -> None:
            """Put a new text in its place, whole."""
            ...


class Configured:
    """The generated configuration.

    Attributes:
        path: The settings file.
        text: What is in it now, or would be.
        is_changed: It is another text than before.
        is_container: By points.
        value: What the project's files said before; None: nothing.
    """

    __slots__ = ("is_changed", "is_container", "path", "text", "value")

    def __init__(self, path: str, text: str, *, is_changed: bool, is_container: bool, value: Any) -> None:
        self.path = path
        self.text = text
        self.is_changed = is_changed
        self.is_container = is_container
        self.value = value


def configure(file: SettingsText, *, is_container: bool, write: bool) -> Configured:
    """Put the option into the settings file: active in a container, explained and commented out elsewhere.

    Args:
        file: The project's settings; what the user wrote there stays.
        is_container: By points.
        write: False only tells what would be written.

    Raises:
        UsageError: The file is no settings file; nothing was changed.
        StoreError: It could not be read or written; nothing was changed.
    """
    value = file.value_of(rules.OPTION)
    before = file.read()
    text = rules.configure(before, is_set=value is not None, is_container=is_container)
    if write and text != before:
        file.replace(text, instead_of=before)
    return Configured(file.path, text, is_changed=text != before, is_container=is_container, value=value)
