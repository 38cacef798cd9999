"""completion: the script with which a shell completes verbs and options.

Protocol: none.
"""

from __future__ import annotations

from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call

SHELLS = ("bash", "zsh", "fish")


def run(call: Call, *, shell: str) -> Answer:
    """Print it."""
    from latchboard.surface.cli.clicked import completion_script

    script = completion_script(shell)
    return Answer({"shell": shell, "script": script}, [script.rstrip("\n")])


VERBS = (
    Verb(
        "completion",
        run,
        summary="Print the script that lets a shell complete our verbs and options.",
        text="SHELL is bash, zsh or fish.",
        parameters=(argument("shell", "SHELL", choices=SHELLS),),
        examples=(
            'eval "$(latchboard completion bash)"     (in ~/.bashrc)',
            'eval "$(latchboard completion zsh)"      (in ~/.zshrc)',
            "latchboard completion fish > ~/.config/fish/completions/latchboard.fish",
        ),
    ),
)
