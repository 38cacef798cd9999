from __future__ import annotations

import subprocess

import pytest

from tests.surface.cli.harness import Cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_printed(cli: Cli, shell: str) -> None:
    plain = cli("completion", shell)

    assert plain.status == 0
    assert "_LATCHBOARD_COMPLETE" in plain.out
    assert cli("completion", shell, "--json").json["script"].strip() == plain.out.strip()


def test_unknown_shell_is_refused(cli: Cli) -> None:
    assert cli("completion", "tcsh").status == 2
    assert "Choose from: bash, zsh, fish\n" in cli("completion").err


@pytest.mark.process
@pytest.mark.needs_tool("bash")
def test_bash_script_is_one(cli: Cli) -> None:
    script = cli("completion", "bash").out

    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ac", "plain,acquire\n"),
        ("handoff g", "plain,grant\n"),
        ("check --sh", "plain,--shared\n"),
        ("check s", "file,s\n"),
        ("check --root s", "dir,s\n"),
        ("send x y --urgency u", "plain,urgent\n"),
    ],
)
def test_words_are_completed(cli: Cli, words: str, completed: str) -> None:
    line = f"latchboard {words}"

    answer = cli(_LATCHBOARD_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))

    assert answer.out == completed
