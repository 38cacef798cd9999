"""A block or a line of ours in somebody else's text."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import marked

SAID = "(written by `latchboard init`; `latchboard init --remove` takes it out)"
BLOCK = f"<!-- latchboard:begin {SAID} -->\nhello\n<!-- latchboard:end -->\n"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", BLOCK),
        ("# Mine\n", f"# Mine\n\n{BLOCK}"),
        ("# Mine", f"# Mine\n\n{BLOCK}"),
        ("# Mine\r\n", f"# Mine\n\n{BLOCK}".replace("\n", "\r\n")),
        (f"a\n{BLOCK.replace('hello', 'old')}b\n", f"a\n{BLOCK}b\n"),
    ],
)
def test_block_stands_at_the_end_or_where_it_was(text: str, made: str) -> None:
    assert marked.merged(text, "hello\n", marked.MARKDOWN) == made
    assert marked.merged(made, "hello\n", marked.MARKDOWN) == made


@pytest.mark.parametrize("text", ["", "# Mine\n", "# Mine", "# Mine\n\n", "a\r\nb\r\n"])
def test_block_goes_without_a_trace(text: str) -> None:
    made = marked.merged(text, "hello\n", marked.MARKDOWN)

    assert marked.unmerged(made, text) == text
    assert marked.unmerged(made + "later\n", text) == marked.unmerged(made) + "later\n"
    assert marked.unmerged(text, text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<!-- latchboard:begin -->\n",
        "<!-- latchboard:end -->\n<!-- latchboard:begin -->\n",
        "<!-- latchboard:end -->\n",
        "# latchboard:end",
        f"{BLOCK}{BLOCK}",
    ],
)
def test_half_a_block_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="half a block"):
        marked.unmerged(text)
    with pytest.raises(ValueError, match="half a block"):
        marked.merged(text, "x", marked.MARKDOWN)


@pytest.mark.parametrize(
    "line",
    [
        "What is between `latchboard:begin` and `latchboard:end` is generated.",
        "latchboard:begin",
        "<!-- see latchboard:begin -->",
        "# How latchboard:begin works",
        "- latchboard:end (the last line)",
        "<!-- latchboard:begin --> is how it starts",
        "<!-- latchboard:beginning -->",
    ],
)
def test_text_that_speaks_of_the_marks_is_no_mark(line: str) -> None:
    text = f"{line}\nmine\n"
    made = marked.merged(text, "hello\n", marked.MARKDOWN)

    assert made == f"{text}\n{BLOCK}"
    assert marked.merged(made, "hello\n", marked.MARKDOWN) == made
    assert marked.unmerged(f"{made}{line}\n") == f"{text}{line}\n"


@pytest.mark.parametrize(
    "begin", ["<!--latchboard:begin-->", "  <!-- latchboard:begin (by hand) -->", "#latchboard:begin"]
)
def test_mark_that_a_formatter_wrote_anew_is_one(begin: str) -> None:
    end = begin.replace(":begin", ":end").replace(" (by hand)", "")

    assert marked.unmerged(f"a\n\n{begin}\r\nold\n{end}\r\nb\n") == "a\nb\n"
    assert marked.merged(f"{begin}\nold\n{end}\n", "hello\n", marked.MARKDOWN) == BLOCK


def test_block_at_the_very_end_needs_no_newline() -> None:
    assert marked.unmerged(f"a\n\n{BLOCK}".removesuffix("\n")) == "a\n"
    assert marked.body_of(BLOCK) == "hello\n"
    assert marked.body_of("hello\n") is None


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", "/x/\n"),
        ("*.pyc", "*.pyc\n/x/\n"),
        ("*.pyc\r\n", "*.pyc\r\n/x/\r\n"),
        (" /x/ \n", " /x/ \n"),
    ],
)
def test_line_is_put_in_once_and_taken_out(text: str, made: str) -> None:
    assert marked.merged_lines(text, ["/x/"]) == made
    assert marked.unmerged_lines(made, text, ["/x/"]) == text
    assert marked.unmerged_lines(f"{made}later\n", text, ["/x/", "/y/"]).endswith("later\n")


TOML = {"command": "/srv/a b/latchboard", "args": ["mcp", "\x7f\u00e9\t"]}
PATH = ("mcp_servers", "latchboard")


@pytest.mark.parametrize(
    "text", ["", 'model = "x"\n', "[mcp_servers.other]\ncommand = 'y'", "[mcp_servers]\n", "a = 1\r\n[b]\r\nc = 2\r\n"]
)
def test_toml_says_what_it_said_and_our_table(text: str) -> None:
    said = tomllib.loads(text)

    made = marked.merged_toml(text, PATH, TOML)

    assert tomllib.loads(made) == {**said, PATH[0]: {**said.get(PATH[0], {}), PATH[1]: TOML}}
    assert marked.merged_toml(made, PATH, TOML) == made
    assert marked.unmerged_toml(made, PATH, text) == text
    assert marked.unmerged_toml(text, PATH) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = \n", "Invalid value"),
        ("[mcp_servers.latchboard]\ncommand = 'mine'\n", "of its own"),
        ("mcp_servers = { other = { command = 'y' } }\n", "cannot be put behind"),
        ("mcp_servers = 3\n", "cannot be put behind"),
    ],
)
def test_toml_that_has_no_room_for_our_table_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        marked.merged_toml(text, PATH, TOML)


def test_line_of_somebody_that_would_move_to_another_table_stays() -> None:
    made = marked.merged_toml("[mine]\na = 1\n", PATH, TOML) + "startup_timeout_sec = 9\n"

    with pytest.raises(ValueError, match="lines of your own"):
        marked.unmerged_toml(made, PATH)


@pytest.mark.parametrize("text", ["", "auto-commits: false\n", "# git-commit-verify: false\n", "a:\n  - b\n"])
def test_yaml_gets_the_key(text: str) -> None:
    made = marked.merged_yaml(text, "git-commit-verify", "true")

    assert made.endswith("git-commit-verify: true\n# latchboard:end\n")
    assert marked.merged_yaml(made, "git-commit-verify", "true") == made
    assert marked.unmerged(made, text) == text


def test_yaml_that_says_it_stays_and_one_that_denies_it_is_refused() -> None:
    assert marked.merged_yaml("git-commit-verify: true # yes\n", "git-commit-verify", "true") == (
        "git-commit-verify: true # yes\n"
    )
    with pytest.raises(ValueError, match="it says 'git-commit-verify: false'"):
        marked.merged_yaml("git-commit-verify: false\n", "git-commit-verify", "true")
    with pytest.raises(ValueError, match="no plain list"):
        marked.merged_yaml("{a: 1}\n", "git-commit-verify", "true")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40).filter(
    lambda text: "latchboard:" not in text
)


@given(TEXTS, TEXTS)
def test_whatever_the_text_the_block_comes_and_goes(text: str, later: str) -> None:
    made = marked.merged(text, "hello\n", marked.MARKDOWN)

    assert marked.merged(made, "hello\n", marked.MARKDOWN) == made
    assert marked.unmerged(made, text) == text
    assert later in marked.unmerged(made + later, text)
    assert marked.unmerged_lines(marked.merged_lines(text, ["/x/"]), text, ["/x/"]) == text


def test_what_somebody_added_to_our_table_stays() -> None:
    path, old, new = (
        ("mcp_servers", "us"),
        {"command": "/a/us", "args": ["mcp"]},
        {"command": "us", "args": ["mcp", "x"]},
    )
    own = "tool_timeout_sec = 120  # long waits\nenv = { AGENT_ID = 'me' }\n"
    made = marked.merged_toml("a = 1\n", path, old)
    text = made.replace("# latchboard:end", f"{own}# latchboard:end")

    assert marked.merged_toml(text, path, old) == text
    changed = marked.merged_toml(text, path, new)
    assert own in changed
    assert marked.toml(changed)["mcp_servers"]["us"] == {**new, "tool_timeout_sec": 120, "env": {"AGENT_ID": "me"}}
    crlf = marked.merged_toml(text.replace("\n", "\r\n"), path, new)
    assert crlf == changed.replace("\n", "\r\n")
    assert marked.unmerged_toml(changed, path, "a = 1\n") == "a = 1\n"


def test_table_that_somebody_wrote_in_another_way_is_refused_and_not_lost() -> None:
    made = marked.merged_toml("", ("mcp_servers", "us"), {"command": "us", "args": ["mcp"]})
    spread = made.replace('args = ["mcp"]', 'args = [\n"mcp"]\nown = 1')

    with pytest.raises(ValueError, match="cannot be put"):
        marked.merged_toml(spread, ("mcp_servers", "us"), {"command": "us", "args": ["other"]})
