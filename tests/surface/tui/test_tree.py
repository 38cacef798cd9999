"""The tree of files: kept from one picture to the next, it is what it would be if it were made anew."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.surface.tui import tree
from latchboard.surface.tui.tree import File, Folder, Tree, Waiting


def hold(name: str, agent: str = "a") -> dict[str, Any]:
    return {"name": name, "agent": agent}


def waiter(request: str, *names: str) -> dict[str, Any]:
    return {"request": request, "agent": request, "names": list(names)}


def drawn(it: Tree) -> list[str]:
    """A line each, as a person reads it."""
    found = []
    for node in it.lines():
        space = "  " * tree.depth(node)
        if isinstance(node, Folder):
            mark = "v" if node.is_open else ">"
            found.append(f"{space}{mark} {node.label} {node.files_count} {dict(sorted(node.holds_count.items()))}")
        elif isinstance(node, File):
            found.append(f"{space}{node.label} {[one['agent'] for one in node.holds]} {len(node.ended)}")
        else:
            found.append(f"{space}? {node.entry['agent']}")
    return found


def of(*names: str) -> Tree:
    made = Tree()
    made.update([hold(name) for name in names], [], [])
    return made


def test_folders_come_first_and_a_folder_in_a_folder_alone_is_one_line() -> None:
    made = of(
        "src/b.py", "src/core/deep/x.py", "src/core/deep/y.py", "README.md", "/etc/host", "glob:**/*.py", "src/web/"
    )

    assert drawn(made) == [
        "v src/ 4 {'a': 4}",
        "  v core/deep/ 2 {'a': 2}",
        "    x.py ['a'] 0",
        "    y.py ['a'] 0",
        "  b.py ['a'] 0",
        "  web/ ['a'] 0",
        "v /etc/ 1 {'a': 1}",
        "  host ['a'] 0",
        "README.md ['a'] 0",
        "glob:**/*.py ['a'] 0",
    ]


def test_who_waits_stands_below_the_file() -> None:
    made = Tree()
    made.update([hold("src/a.py"), hold("src/a.py", "b")], [hold("src/z.py")], [waiter("w", "src/a.py", "src/z.py")])

    assert drawn(made) == [
        "v src/ 2 {'a': 1, 'b': 1}",
        "  a.py ['a', 'b'] 0",
        "    ? w",
        "  z.py [] 1",
        "    ? w",
    ]
    assert len({node.key for node in made.lines()}) == 5


def test_a_closed_folder_stays_closed_while_it_comes_and_goes() -> None:
    made = of("src/core/a.py", "src/b.py")
    core = made.lines()[1]
    assert isinstance(core, Folder)
    made.toggle(core)
    assert drawn(made) == ["v src/ 2 {'a': 2}", "  > core/ 1 {'a': 1}", "  b.py ['a'] 0"]

    made.update([hold("src/b.py")], [], [])
    made.update([hold("src/b.py"), hold("src/core/c.py"), hold("src/core/d.py")], [], [])

    assert drawn(made) == ["v src/ 3 {'a': 3}", "  > core/ 2 {'a': 2}", "  b.py ['a'] 0"]
    again = made.lines()[1]
    assert isinstance(again, Folder)
    made.toggle(again, True)
    assert len(made.lines()) == 5


def test_a_path_of_two_thousand_folders_is_one_line_and_nothing_recurs() -> None:
    long = "/".join("d" * 2000) + "/f.py"
    made = of(long, "/".join("d" * 1000) + "/g.py")

    first, second, third, last = made.lines()
    assert isinstance(first, Folder)
    assert isinstance(second, Folder)
    assert (first.label.count("/"), second.label.count("/")) == (1000, 1000)
    assert isinstance(third, File)
    assert third.name == long
    assert [tree.depth(node) for node in (first, second, third, last)] == [0, 1, 2, 1]


def test_a_thousand_forks_below_each_other_are_cut_off_at_a_depth() -> None:
    names = ["/".join("d" * level) + f"/{level}.py" for level in range(1, 1000)]
    made = of(*names)

    lines = made.lines()

    assert len(lines) == 2 * 999
    assert max(map(tree.depth, lines)) == 40


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=5).map("/".join)
pictures = st.lists(
    st.tuples(
        st.lists(st.tuples(names, st.sampled_from("xy")), max_size=8, unique=True),
        st.lists(names, max_size=2),
        st.lists(names, max_size=3),
        st.integers(0, 9),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(pictures)
def test_however_it_came_to_be_it_is_the_tree_of_what_there_is(steps: Any) -> None:
    kept = Tree()
    known: dict[Any, dict[str, Any]] = {}
    for held, ended, waits, toggled in steps:
        locks = [known.setdefault(one, hold(*one)) for one in held]
        over = [known.setdefault((name, "-"), hold(name, "-")) for name in ended]
        line = [waiter(f"w{at}", name) for at, name in enumerate(waits)]

        kept.update(locks, over, line)

        fresh = Tree()
        fresh._closed = set(kept._closed)
        fresh.update(copy.deepcopy(locks), copy.deepcopy(over), copy.deepcopy(line))
        assert drawn(kept) == drawn(fresh)
        folders = [node for node in kept.lines() if isinstance(node, Folder)]
        if folders:
            kept.toggle(folders[toggled % len(folders)])
        keys = [node.key for node in kept.lines()]
        assert len(keys) == len(set(keys))


def test_nodes_are_the_same_as_long_as_what_they_stand_for_is_there() -> None:
    made = Tree()
    entries = [hold("src/a.py"), hold("src/b.py")]
    made.update(entries, [], [waiter("w", "src/a.py")])
    before = made.lines()

    made.update([*entries, hold("src/c.py")], [], [waiter("w", "src/a.py")])

    assert all(one is other for one, other in zip(before, made.lines(), strict=False))
    assert isinstance(before[2], Waiting)
