"""Clicked: the same grammar as click reads it: help, completion, and a clear word about every mistake.

The one module of the command line that imports click, loaded only when `grammar.read` does not understand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem, get_completion_class

from latchboard import __version__
from latchboard.errors import UsageError
from latchboard.surface.cli import catalogue
from latchboard.surface.cli.answer import Closed, NotWritten, need_stdout, printable
from latchboard.surface.cli.grammar import Parameter, Verb
from latchboard.surface.cli.mistaken import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPLETE_VARIABLE = "_LATCHBOARD_COMPLETE"
_WIDTH = 88
_COMPLETED = {"PATH": "file", "FILE": "file", "FOLDER": "dir"}
_ABOUT = """Locks, mailboxes and a live board for several coding agents that work on one code base.

Every verb takes --json, --root and --agent, and says more with --help.

Exit statuses: 0 done, 1 failed, 2 wrong usage, 3 findings, 10 refused (somebody else has it; try later), 11 the hold
was lost, 12 what is stored cannot be read, 13 the store cannot be used, 130 interrupted."""


class _Verbs(click.Group):
    """The verbs, or those of one group; a verb is imported when it is asked for."""

    def __init__(self, prefix: str = "", **attributes: Any) -> None:
        super().__init__(**attributes)
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the catalogue, each group once."""
        names = [name.removeprefix(self._prefix) for name in catalogue.VERBS if name.startswith(self._prefix)]
        return list(dict.fromkeys(name.partition(" ")[0] for name in names))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command for a word, None when there is none."""
        name = f"{self._prefix}{cmd_name}"
        if name in catalogue.VERBS and name in catalogue.GROUPS:
            return _verb_and_group(catalogue.load(name))
        if name in catalogue.VERBS:
            return _command(catalogue.load(name))
        if name in catalogue.GROUPS:
            about = catalogue.GROUPS[name]
            return _Verbs(f"{name} ", name=name, help=about, short_help=about, context_settings=_settings())
        return None


def parse(words: Sequence[str]) -> tuple[Verb, dict[str, Any]] | int:
    """The verb and its values, or an exit status when help was asked for and has been shown.

    Raises:
        UsageError: What is wrong with the command line.
    """
    try:
        result: Any = _group().main(
            list(words), prog_name="latchboard", complete_var=COMPLETE_VARIABLE, standalone_mode=False
        )
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        return exc.exit_code
    except click.UsageError as exc:
        name = catalogue.split(list(words))[0]
        if meant := explain(words):
            raise UsageError(printable(meant[0]), hint=meant[1]) from exc
        about = f"latchboard {name}".rstrip()
        said = exc.format_message().replace("\n\t", " ")  # click lists choices in lines of their own
        raise UsageError(printable(said), hint=f"`{about} --help` shows how") from exc
    except SystemExit as exc:  # completion ends so
        return exc.code if isinstance(exc.code, int) else 1
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError as exc:
        raise Closed from exc
    except OSError as exc:
        raise NotWritten(exc.strerror or str(exc)) from exc
    if isinstance(result, tuple):
        return result
    need_stdout()  # click is silent where it is closed
    return int(result or 0)


def completion_script(shell: str) -> str:
    """What a shell must evaluate to complete our verbs and options.

    Raises:
        UsageError: There is none for that shell.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"no completion for {shell}", hint="bash, zsh and fish are known")
    return kind(_group(), {}, "latchboard", COMPLETE_VARIABLE).source()


def _group() -> click.Group:
    group = _Verbs(name="latchboard", help=_ABOUT, context_settings=_settings())
    click.version_option(__version__, prog_name="latchboard")(group)
    return group


def _settings() -> dict[str, Any]:
    return {"max_content_width": _WIDTH, "help_option_names": ["--help"]}


def _command(verb: Verb) -> click.Command:
    def found(**values: Any) -> tuple[Verb, dict[str, Any]]:
        return verb, values

    return click.Command(verb.name.rpartition(" ")[2], callback=found, **_attributes(verb))


def _verb_and_group(verb: Verb) -> click.Group:
    """A verb that has verbs below it, too."""

    @click.pass_context
    def found(context: click.Context, /, **values: Any) -> tuple[Verb, dict[str, Any]]:
        given = [name for name in values if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
        if context.invoked_subcommand is not None and given:
            below = f"{verb.name} {context.invoked_subcommand}"
            raise click.UsageError(f"options of `{below}` stand behind it")
        return verb, values

    attributes = {**_attributes(verb), "short_help": catalogue.GROUPS[verb.name]}
    return _Verbs(f"{verb.name} ", name=verb.name, callback=found, invoke_without_command=True, **attributes)


def _attributes(verb: Verb) -> dict[str, Any]:
    examples = "\n".join(f"  {line}" for line in verb.examples)
    return {
        "params": [_parameter(parameter) for parameter in verb.parameters],
        "help": f"{verb.summary}\n\n{verb.text}".rstrip(),
        "short_help": verb.summary,
        "epilog": f"\b\nExamples:\n{examples}",
        "context_settings": _settings(),
    }


class _Kind(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.5 and later alone
    """A kind of ours, for click."""

    def __init__(self, parameter: Parameter) -> None:
        self.name = parameter.metavar or parameter.name
        self._convert = parameter.kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a word; defaults are values already."""
        if not isinstance(value, str):
            return value
        try:
            return self._convert(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Paths and folders are completed by the shell."""
        kind = next((kind for word, kind in _COMPLETED.items() if word in self.name), None)
        return [] if kind is None else [CompletionItem(incomplete, type=kind)]


def _parameter(parameter: Parameter) -> click.Parameter:
    kind: Any = click.Choice(parameter.choices) if parameter.choices else _Kind(parameter)
    if not parameter.spelling:
        required = parameter.count != "any"
        nargs = 1 if parameter.count == "one" else -1
        return click.Argument([parameter.name], type=kind, nargs=nargs, required=required, metavar=parameter.metavar)
    names = [parameter.spelling, parameter.name]
    if parameter.is_flag:
        return click.Option(names, is_flag=True, default=False, help=parameter.help)
    return click.Option(
        names,
        type=kind,
        default=parameter.default,
        multiple=parameter.is_many,
        help=parameter.help,
        metavar=_metavar(parameter),
        show_default=not parameter.is_many,
    )


def _metavar(parameter: Parameter) -> str | None:
    return None if parameter.choices else parameter.metavar
