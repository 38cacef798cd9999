"""Dialog: what opens above the board: details, help, and a question before something is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from textual.app import ComposeResult
    from textual.binding import BindingType

_LABEL_CELLS = 11


def content(facts: Sequence[tuple[str, str]]) -> Content:
    """Labels and texts, a line each; a long text goes on in the next line."""
    lines = []
    for label, text in facts:
        pieces: list[Content | tuple[str, str]] = []
        if label:
            pieces.append((label.ljust(_LABEL_CELLS), "$board-dim"))
        lines.append(Content.assemble(*pieces, Content(text)))
    return Content("\n").join(lines)


class Details(ModalScreen[None]):
    """A page of facts that can be scrolled and closed."""

    DEFAULT_CSS = """
    Details { align: center middle; }
    Details > Vertical { width: 90%; max-width: 110; height: auto; max-height: 90%; background: $board-band;
                         border: solid $board-focus; padding: 0 1; }
    Details VerticalScroll { height: auto; max-height: 100%; }
    Details Static { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,question_mark", "close", "Close")]

    def __init__(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self.facts = facts

    def compose(self) -> ComposeResult:
        """A frame with a title, and what is in it."""
        with Vertical() as frame:
            frame.border_title = Content(self._title)
            frame.border_subtitle = Content("Esc closes")
            with VerticalScroll():
                yield Static(content(self.facts), id="facts", markup=False)

    def show(self, facts: Sequence[tuple[str, str]]) -> None:
        """Other facts, on the same page."""
        self.facts = facts
        self.query_one("#facts", Static).update(content(facts))

    def action_close(self) -> None:
        """Back to the board."""
        self.dismiss(None)

    def on_click(self) -> None:
        """A click closes it as well."""
        self.dismiss(None)


class Question(ModalScreen["str | None"]):
    """Asks whether to change something, and why; gives the reason, or None for no. The answer that is at hand is no."""

    DEFAULT_CSS = """
    Question { align: center middle; }
    Question > Vertical { width: 90%; max-width: 90; height: auto; background: $board-band;
                          border: solid $board-wait; padding: 0 1; }
    Question Static { width: 1fr; }
    Question Horizontal { height: auto; align-horizontal: right; }
    Question Button { margin: 0 0 0 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, title: str, facts: Sequence[tuple[str, str]], *, yes: str, asks_why: bool) -> None:
        super().__init__()
        self._title = title
        self._facts = facts
        self._yes = yes
        self._asks_why = asks_why

    def compose(self) -> ComposeResult:
        """What would happen, the reason, and the two answers."""
        with Vertical() as frame:
            frame.border_title = Content(self._title)
            yield Static(content(self._facts), markup=False)
            if self._asks_why:
                yield Input(placeholder="why (recorded, and told to the holder)", id="why", max_length=1000)
            with Horizontal():
                yield Button("No", id="no")
                yield Button(self._yes, id="yes", variant="warning", disabled=self._asks_why)

    def on_mount(self) -> None:
        """The first thing to do is to say why, or no."""
        self.query_one("#why" if self._asks_why else "#no").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Nothing is broken without a reason."""
        self.query_one("#yes", Button).disabled = not event.value.strip()

    def on_input_submitted(self) -> None:
        """The reason is given: what is left is to say yes."""
        if not self.query_one("#yes", Button).disabled:
            self.query_one("#yes").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The answer."""
        event.stop()
        if event.button.id == "no":
            self.dismiss(None)
        else:
            self.dismiss(self.query_one("#why", Input).value.strip() if self._asks_why else "")

    def action_no(self) -> None:
        """Nothing is changed."""
        self.dismiss(None)
