"""What points into protocol/ leads somewhere: sections, chapters, links, decisions, vectors, settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from latchboard.settings import Settings
from tests.tidy.tree import ROOT, relative, tracked

PROTOCOL = ROOT / "protocol"
CHAPTERS = sorted(path.name for path in PROTOCOL.glob("*.md"))
READ_BY_PEOPLE = (".json", ".md", ".py", ".sh", ".toml")

# `lock.md`, "Names" and "Overlap"; the quotation marks may be escaped, and the line may end anywhere.
_SECTION = r"\\?\"(\w[\w ,'\n#*-]*?)\\?\""
_REFERENCE = re.compile(rf"\b([a-zA-Z]+\.md)`?,\s+(?:#\s+)?{_SECTION}((?:(?:,| and)\s+{_SECTION})*)")


def texts() -> list[tuple[str, str]]:
    return [
        (relative(path), path.read_text(encoding="utf-8", errors="replace"))
        for path in tracked()
        if path.suffix in READ_BY_PEOPLE
    ]


def headings(chapter: str) -> set[str]:
    """The headings of a chapter; of one that lists verbs (`handoff request, handoff list`) each verb, too."""
    text = (PROTOCOL / chapter).read_text(encoding="utf-8")
    found = set(re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    verbs = {verb for heading in found for verb in heading.split(", ") if verb.islower()}
    return found | verbs | {verb.split()[0] for verb in verbs}


def references(text: str) -> list[tuple[str, str]]:
    """(chapter, section) of each reference to a section."""
    found = []
    for match in _REFERENCE.finditer(text):
        sections = [match[2], *re.findall(_SECTION, match[3])]
        found += [(match[1], re.sub(r"\s+(?:# )?", " ", section)) for section in sections]
    return found


def test_references_are_found_however_they_are_written() -> None:
    text = 'protocol/lock.md, "Waiting in\n# line" and "Handoff". (`store.md`, "Commit"); (lock.md, \\"Names\\")'

    assert references(text) == [
        ("lock.md", "Waiting in line"),
        ("lock.md", "Handoff"),
        ("store.md", "Commit"),
        ("lock.md", "Names"),
    ]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_section_that_is_named_is_there(chapter: str) -> None:
    there = headings(chapter)

    missing = [
        f"{file}: {chapter} has no section {section!r}"
        for file, text in texts()
        for name, section in references(text)
        if name == chapter and section not in there and file != "tests/docs/test_chapters.py"
    ]

    assert not missing, "\n".join(missing)


def test_the_sections_of_locks_are_named_from_the_code() -> None:
    named = {section for file, text in texts() if file.startswith("src/") for _, section in references(text)}

    assert {"Names", "Overlap", "Leases", "Acquire", "Waiting in line", "Handoff", "Guarded write"} <= named


def test_every_chapter_that_is_named_is_there() -> None:
    missing = [
        f"{file}: protocol/{name}"
        for file, text in texts()
        for name in re.findall(r"\bprotocol/([\w-]+\.md)\b", text)
        if name not in CHAPTERS
    ]

    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_link_of_a_chapter_leads_to_a_file(chapter: str) -> None:
    text = (PROTOCOL / chapter).read_text(encoding="utf-8")

    links = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"`((?:schema|vectors)/[\w/-]+\.json)`", text)

    assert [link for link in links if not (PROTOCOL / link).is_file()] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_setting_of_a_chapter_is_one(chapter: str) -> None:
    text = (PROTOCOL / chapter).read_text(encoding="utf-8")

    named = {name for group in re.findall(r"[sS]ettings? ((?:`\w+`(?:, )?)+)", text) for name in group.split("`")[1::2]}

    assert named <= set(Settings.__slots__)


def test_every_decision_that_is_named_is_there() -> None:
    there = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}

    missing = [
        f"{file}: decision {number}"
        for file, text in texts()
        for number in re.findall(r"\b(?:[dD]ecision |decisions/)(\d{4})\b", text)
        if number not in there
    ]

    assert not missing, "\n".join(missing)


def vectors() -> list[Path]:
    return sorted((PROTOCOL / "vectors").rglob("*.json"))


@pytest.mark.parametrize("path", vectors(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_vector_says_its_section_and_its_chapter_names_it(path: Path) -> None:
    vector = json.loads(path.read_text(encoding="utf-8"))
    chapter, _, section = vector["section"].removeprefix("protocol/").partition(", ")

    assert section.strip('"') in headings(chapter)
    folder = PROTOCOL / f"{path.parent.name}.md"
    chapters = [chapter, folder.name] if folder.is_file() else [chapter]
    assert any(path.name in (PROTOCOL / name).read_text(encoding="utf-8") for name in chapters)
