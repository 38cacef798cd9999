"""The page's files hold what its policy and its speed rest on; no browser needed."""

from __future__ import annotations

import re
from pathlib import Path

from latchboard.surface.web import pages

FOLDER = Path(pages.FOLDER)
INDEX = (FOLDER / "index.html").read_text(encoding="utf-8")
LINES_MAX = 400


def test_every_module_is_asked_for_at_once() -> None:
    """One that is missing in the head is found only when the one before it has been read: a round trip each."""
    listed = set(re.findall(r'rel="modulepreload" href="/([^"]+)"', INDEX))

    assert listed == {path.name for path in FOLDER.glob("*.js")} - {"theme.js"}


def test_what_modules_import_is_there() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for name, where in re.findall(r'import (?:\* as \w+|\{([^}]+)\}) from "\./([^"]+)"', text):
            exported = (FOLDER / where).read_text(encoding="utf-8")
            for given in filter(None, map(str.strip, name.split(","))):
                there, _, here = given.partition(" as ")
                assert re.search(rf"export (async )?(function|class|const) {there}\b", exported), (path.name, given)
                assert len(re.findall(rf"\b{here or there}\b", text)) > 1, f"{path.name} does not use {given}"


def test_nothing_stands_in_the_markup_that_the_policy_forbids_or_comes_from_elsewhere() -> None:
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", INDEX)
    for path in [*FOLDER.glob("*.js"), *FOLDER.glob("*.css"), *FOLDER.glob("*.html")]:
        found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org"}, path.name


def test_no_text_of_others_is_read_as_markup_or_code() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML\s*\+?=[^=]|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path.name


def test_files_can_be_read_at_one_sitting() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FOLDER.iterdir()}

    assert {name: count for name, count in lines.items() if count > LINES_MAX} == {}
