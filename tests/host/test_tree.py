"""Which name a path is locked under: every spelling of a file gives one, every file has its own."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.host import tree as tree_module
from latchboard.host.tree import PATH_BYTES_MAX, WorkTree
from tests.conftest import ONE_FIXTURE

NFC, NFD = "caf\u00e9.py", "cafe\u0301.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with files, folders and links of every kind, beside a folder outside of it."""
    made = tmp_path / "project"
    (made / "src/deep").mkdir(parents=True)
    for name in ("x.py", "src/x.py", "src/deep/y.py", "a_b", "src/a b.py", "src/[x]*?.py"):
        (made / name).touch()
    (made / "link.py").symlink_to("src/x.py")
    (made / "chain.py").symlink_to("link.py")
    (made / "folder-link").symlink_to("src/deep")
    (made / "dangling.py").symlink_to("src/new.py")
    (made / "dangling-far.py").symlink_to("not/there/new.py")
    (made / "out").symlink_to("../outside")
    (made / "loop").symlink_to("pool")
    (made / "pool").symlink_to("loop")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/o.py").touch()
    (tmp_path / "entry").symlink_to("project")
    return made


@pytest.fixture(params=["by-the-kernel", "by-looking"])
def tree(root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> WorkTree:
    """Both ways to resolve a path must agree."""
    if request.param == "by-looking":
        monkeypatch.setattr(tree_module, "_HAS_O_PATH", False)
    return WorkTree(root)


SPELLINGS = {
    "src/x.py": [
        *("src/x.py", "./src/x.py", "src//x.py", "src/./x.py", "src/deep/../x.py", "{root}/src/x.py", "link.py"),
        *("chain.py", "../project/src/x.py", "{root}/../entry/src/x.py", "not/there/../../src/x.py", "{root}//link.py"),
        "folder-link/../x.py",
    ],
    "x.py": ["x.py", "./x.py", "src/../x.py"],
    "src/deep/y.py": ["src/deep/y.py", "folder-link/y.py", "./folder-link/./y.py"],
    "src/": ["src", "src/", "./src/.", "src/deep/..", "{root}/src", "folder-link/.."],
    "src/deep/": ["src/deep", "folder-link", "folder-link/"],
    "./": [".", "./", "{root}", "{root}/", "src/..", "{root}/../entry"],
    "src/new.py": ["src/new.py", "dangling.py", "folder-link/../new.py", "src/none/../new.py", "{root}/src/new.py"],
    "src/new/": ["src/new/", "src/new//", "./src/new/."],
    "not/there/new.py": ["not/there/new.py", "dangling-far.py", "./not//there/new.py"],
    "{outside}/o.py": ["{outside}/o.py", "../outside/o.py", "out/o.py"],
    "{outside}/": ["{outside}", "out", "../outside/", "out/"],
    "{outside}/new.py": ["{outside}/new.py", "out/new.py"],
    "/": ["/", "//", "/..", "/."],
    "src/a b.py": ["src/a b.py", "src/deep/../a b.py"],
    "src/[x]*?.py": ["src/[x]*?.py"],
    "./glob:x.py": ["./glob:x.py", "{root}/glob:x.py"],
    "./hardlink:1-2": ["./hardlink:1-2", "{root}/hardlink:1-2", "src/../hardlink:1-2"],
    "caf\u00e9.py": [NFC, NFD, "./" + NFD],
}
TABLE = [(spelling, name) for name, spellings in SPELLINGS.items() for spelling in spellings]


@pytest.mark.parametrize(("spelling", "name"), TABLE, ids=[f"{s}-is-{n}" for s, n in TABLE])
def test_every_spelling_gives_one_name__failure_3_25(tree: WorkTree, root: Path, spelling: str, name: str) -> None:
    places = {"root": str(root), "outside": str(root.parent / "outside")}
    path, expected = (spelling.format(**places), name.format(**places)) if "{" in spelling + name else (spelling, name)

    assert tree.canonical(path) == expected
    assert tree.canonical(Path(path) if not path.endswith(("/", "/.")) else path) == expected
    assert tree.canonical(expected) == expected


def test_different_files_have_different_names(tree: WorkTree) -> None:
    paths = [
        "x.py",
        "src/x.py",
        "src__x.py",
        "a/b_c",
        "a_b/c",
        "a_b",
        "a/b",
        "A_B",
        "src/a b.py",
        "src/a\\ b.py",
        "src",
    ]

    assert len({tree.canonical(path) for path in paths}) == len(paths)


def test_a_relative_path_starts_at_the_root_or_where_it_is_told(tree: WorkTree, root: Path, tmp_path: Path) -> None:
    assert tree.canonical("x.py") == "x.py"
    assert tree.canonical("x.py", cwd="src") == "src/x.py"
    assert tree.canonical("../x.py", cwd=root / "src") == "x.py"
    assert tree.canonical("y.py", cwd="folder-link") == "src/deep/y.py"
    assert tree.canonical("o.py", cwd=tmp_path / "outside") == f"{tmp_path}/outside/o.py"
    assert tree.canonical(root / "x.py", cwd="src") == "x.py"


def test_a_root_behind_a_symbolic_link_is_the_same_root(root: Path, tmp_path: Path) -> None:
    assert WorkTree(tmp_path / "entry").canonical(root / "src/x.py") == "src/x.py"


def test_a_folder_beside_with_the_same_beginning_is_outside(tree: WorkTree, root: Path) -> None:
    assert tree.canonical(f"{root}-2/x.py") == f"{root}-2/x.py"


def test_the_root_of_the_file_system_can_be_the_root() -> None:
    tree = WorkTree("/")

    assert tree.canonical("/") == "./"
    assert tree.canonical("/not-there/x.py") == "not-there/x.py"


def test_a_root_that_does_not_exist_yet_has_names_too(tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "later")

    assert tree.canonical("src/x.py") == "src/x.py"
    assert tree.canonical(".") == "./"


def test_a_file_that_becomes_a_folder_is_seen(tree: WorkTree, root: Path) -> None:
    assert tree.canonical("src/new") == "src/new"

    (root / "src/new").mkdir()

    assert tree.canonical("src/new") == "src/new/"


def test_things_that_are_no_files_have_names(tree: WorkTree, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    monkeypatch.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")

    assert tree.names("fifo") == ("fifo",)
    assert tree.names("sock") == ("sock",)
    assert tree.names("/dev/null") == ("/dev/null",)


def test_a_file_named_like_a_deleted_one_has_its_name(tree: WorkTree, root: Path) -> None:
    (root / "x (deleted)").touch()

    assert tree.canonical("x (deleted)") == "x (deleted)"


def test_a_file_deleted_while_it_is_looked_at_keeps_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readlink = os.readlink

    def delete_first(path: str) -> str:
        (root / "x.py").unlink(missing_ok=True)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", delete_first)

    assert WorkTree(root).canonical("x.py") == "x.py"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EIO])
def test_names_need_no_descriptor(root: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    (root / "second.py").hardlink_to(root / "x.py")
    tree = WorkTree(root)
    expected = [tree.names(path) for path in ("link.py", "src", "src/new.py", "x.py")]

    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)

    assert [tree.names(path) for path in ("link.py", "src", "src/new.py", "x.py")] == expected


def test_without_proc_the_path_is_read_part_by_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, readlink = WorkTree(root), os.readlink

    def no_proc(path: str) -> str:
        if path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "no /proc")
        return readlink(path)

    monkeypatch.setattr(os, "readlink", no_proc)

    assert tree.canonical("chain.py") == "src/x.py"
    assert tree.canonical("dangling.py") == tree.canonical("src/new.py") == "src/new.py"


# -- hard links, patterns


def test_a_file_with_several_hard_links_has_a_common_name__failure_3_25(tree: WorkTree, root: Path) -> None:
    (root / "second.py").hardlink_to(root / "src/x.py")
    status = os.stat(root / "second.py")
    common = f"hardlink:{status.st_dev}-{status.st_ino}"

    assert tree.names("second.py") == ("second.py", common)
    assert tree.names("link.py") == ("src/x.py", common)
    assert tree.names(common) == (common,)
    assert tree.names("x.py") == ("x.py",)
    assert tree.names("src") == ("src/",)  # a folder has more links too


def test_a_pattern_is_no_path(tree: WorkTree) -> None:
    assert tree.names("glob:src/**/*.py") == ("glob:src/**/*.py",)
    assert tree.names("glob:../x") == ("glob:../x",)
    assert tree.names("./glob:src") == ("./glob:src",)
    assert tree.names(PurePosixPath("glob:src")) == ("./glob:src",)  # pathlib drops ./ before a name


@pytest.mark.parametrize(
    "name", ["glob:", "hardlink:", "hardlink:1", "hardlink:a-b", "hardlink:1-", "hardlink:\u0661-1"]
)
def test_a_reserved_name_must_be_well_formed(tree: WorkTree, name: str) -> None:
    with pytest.raises(UsageError):
        tree.names(name)


# -- what cannot be named


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("\u00e9\0", "NUL"),
        ("glob:\0", "NUL"),
        ("\ud800", "not Unicode"),
        ("a/\udcff.py", "not Unicode"),
        ("a" * (PATH_BYTES_MAX + 1), "longer than 4096 bytes"),
        ("\u00e9" * (PATH_BYTES_MAX // 2) + "a", "longer than 4096 bytes"),
        (b"x.py", "not bytes"),
        (None, "not NoneType"),
        (7, "not int"),
        ("loop", "circle of symbolic links"),
        ("loop/x.py", "circle of symbolic links"),
        ("x.py/", "is a file, not a folder"),
        ("link.py/", "is a file, not a folder"),
        ("src/x.py/.", "is a file, not a folder"),
    ],
)
def test_what_cannot_be_named_is_refused(tree: WorkTree, path: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        tree.canonical(path)
    with pytest.raises(UsageError, match=reason):
        tree.names(path)


def test_a_link_to_what_is_not_unicode_is_refused(tree: WorkTree, root: Path) -> None:
    os.mkdir(os.fsencode(root) + b"/\xff")
    (root / "to-bytes").symlink_to(os.fsdecode(b"\xff"))

    with pytest.raises(UsageError, match="not Unicode"):
        tree.canonical("to-bytes/x.py")


def test_the_longest_path_has_a_name_and_one_byte_more_has_none(tree: WorkTree) -> None:
    longest = "a/" * (PATH_BYTES_MAX // 2 - 1) + "bc"

    assert len(longest) == PATH_BYTES_MAX
    assert tree.canonical(longest) == longest
    assert tree.canonical("b" * 300) == "b" * 300  # longer than any file's name: it can never exist
    with pytest.raises(UsageError, match="longer than 4096 bytes"):
        tree.canonical(longest + "d")
    with pytest.raises(UsageError, match="longer than 4096 bytes"):
        tree.canonical("../" + longest[:-3])  # outside: the name is the absolute path


def test_a_current_folder_that_is_gone_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(UsageError, match="cannot find the folder"):
        WorkTree(".")


PARTS = st.sampled_from(
    ["src", "x.py", "..", ".", "", "link.py", "folder-link", "loop", "new", "out", NFC, NFD, "glob:a"]
)
PATHS = st.text(max_size=40) | st.lists(PARTS, max_size=8).map("/".join) | st.lists(st.text(), max_size=5).map("/".join)


@settings(suppress_health_check=ONE_FIXTURE)
@given(path=PATHS)
@example(path="src/x.py/../..")
@example(path="\ufb01")
@example(path="\U0001d160")
@example(path="\u1e9b\u0323")
def test_any_text_has_one_stable_name_or_is_refused(tree: WorkTree, path: str) -> None:
    try:
        name = tree.canonical(path)
    except UsageError:
        return

    assert name
    assert tree.canonical(name) == name
    assert tree.names(name)[0] == name
    if not path.startswith(("glob:", "hardlink:")):
        assert tree.names(path)[0] == name
    assert name == unicodedata.normalize("NFC", name)
    assert "//" not in name
    assert not {".", ".."} & set(name.removeprefix("./").rstrip("/").split("/"))


def test_threads_agree_from_the_first_call_on(root: Path) -> None:
    for _ in range(50):
        tree, found = WorkTree(root), []
        start = threading.Barrier(4)

        def ask(tree: WorkTree = tree, found: list[str] = found, start: threading.Barrier = start) -> None:
            start.wait()
            found.append(tree.canonical("src/x.py"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == ["src/x.py"] * 4


# -- letter case


def test_case_counts_where_the_file_system_says_so(tree: WorkTree, root: Path) -> None:
    if folds(root):
        pytest.skip("not applicable: case is folded here")
    (root / "X.py").touch()

    assert tree.canonical("X.py") != tree.canonical("x.py")
    assert not tree_module._folds_case(str(root))


def test_two_hard_links_that_differ_in_case_do_not_fold(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "A").hardlink_to(tmp_path / "a")

    assert not tree_module._folds_case(str(tmp_path))


def test_where_case_is_folded_one_name_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "_folds_case", lambda root: True)
    tree = WorkTree(root)

    assert tree.canonical("SRC/New.PY") == tree.canonical("src/new.py") == "src/new.py"
    assert tree.canonical(str(root).upper() + "/new.py") == "new.py"
    assert tree.canonical("STRASSE") == tree.canonical("stra\u00dfe")
    assert tree.canonical("CAFE\u0301") == tree.canonical("caf\u00e9")


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    try:
        once = tree_module._spell(text, folds_case=True)
    except UsageError:
        return

    assert tree_module._spell(once, folds_case=True) == once


def folds(folder: Path) -> bool:
    (folder / "probe-a").touch()
    found = (folder / "PROBE-A").exists()
    (folder / "probe-a").unlink()
    return found


FOLDING = [  # on Linux it takes a kernel that knows such a file system
    'mount -t tmpfs -o casefold,size=1m tmpfs "$1" && mkdir "$1/folds" && chattr +F "$1/folds"',
    'truncate -s 4M "$1.image" && mkfs.vfat "$1.image" && mount -o loop "$1.image" "$1" && mkdir "$1/folds"',
]


@pytest.fixture
def folding_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that folds case."""
    if folds(tmp_path):
        yield tmp_path
        return
    for script in FOLDING:
        mounted = tmp_path / "mounted"
        mounted.mkdir(exist_ok=True)
        done = subprocess.run(["sh", "-c", script, "sh", str(mounted)], capture_output=True, check=False, timeout=60)
        try:
            if done.returncode == 0 and folds(mounted / "folds"):
                yield mounted / "folds"
                return
        finally:
            if os.path.ismount(mounted):
                subprocess.run(["umount", str(mounted)], check=True, timeout=60)
    pytest.skip("not applicable: this system mounts no file system that folds case")


def test_folding_is_found_by_looking_an_entry_up_under_its_other_case(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: lstat(f"{os.path.dirname(path)}/{os.path.basename(path).lower()}"))
    empty = root / "empty"
    empty.mkdir()

    assert tree_module._folds_case(str(root))
    assert tree_module._folds_case(str(empty))  # nothing in it: its own name tells
    (root / "data").mkdir()
    assert tree_module._folds_case(str(root))
    assert not tree_module._folds_case(str(root / "not-there"))


@pytest.mark.process
def test_case_is_folded_on_a_file_system_that_folds_it__failure_3_25(folding_folder: Path) -> None:
    (folding_folder / "Src").mkdir()
    (folding_folder / "Src/File.py").touch()
    tree = WorkTree(folding_folder)

    assert {tree.canonical(path) for path in ("Src/File.py", "src/file.py", "SRC/FILE.PY")} == {"src/file.py"}
    assert tree.canonical("SRC/new.py") == tree.canonical("src/New.py") == "src/new.py"
    assert tree.canonical("SRC") == "src/"


# -- guarded writes


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if ".latchboard-" in name]


def test_a_staged_write_shows_when_it_is_published(tree: WorkTree, root: Path) -> None:
    (root / "x.py").write_bytes(b"old")

    with tree.stage("x.py", b"new") as staged:
        assert (root / "x.py").read_bytes() == b"old"
        assert (staged.name, staged.path, staged.size_bytes) == ("x.py", str(root / "x.py"), 3)
        staged.publish()

    assert (root / "x.py").read_bytes() == b"new"
    assert not leftovers(root)


def test_a_discarded_write_leaves_nothing(tree: WorkTree, root: Path) -> None:
    (root / "x.py").write_bytes(b"old")

    staged = tree.stage("x.py", b"new")
    assert len(leftovers(root)) == 1
    staged.discard()
    staged.discard()

    assert (root / "x.py").read_bytes() == b"old"
    assert not leftovers(root)
    with pytest.raises(UsageError, match="before"):
        staged.publish()


def test_a_write_is_published_once(tree: WorkTree) -> None:
    staged = tree.stage("x.py", b"new")
    staged.publish()

    with pytest.raises(UsageError, match="before"):
        staged.publish()


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_new_file_appears_whole(tree: WorkTree, root: Path, size: int) -> None:
    tree.stage("src/new.py", b"x" * size).publish()

    assert (root / "src/new.py").read_bytes() == b"x" * size


def test_a_new_file_has_the_mode_any_new_file_has(tree: WorkTree, root: Path) -> None:
    old = os.umask(0o027)
    try:
        tree.stage("new.py", b"").publish()
    finally:
        os.umask(old)

    assert stat.S_IMODE(os.stat(root / "new.py").st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o664, 0o4755, 0o2755])
def test_mode_and_owner_stay(tree: WorkTree, root: Path, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(root / "x.py", 1234, 5678)
    os.chmod(root / "x.py", mode)
    before = os.stat(root / "x.py")

    tree.stage("x.py", b"new").publish()

    after = os.stat(root / "x.py")
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_group_that_cannot_be_kept_lends_its_rights_to_no_other(
    tree: WorkTree, root: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[object, str], None]
) -> None:
    require(os.geteuid() == 0, "may not give files away")
    os.chown(root / "x.py", -1, 5678)
    os.chmod(root / "x.py", 0o2775)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "fchown", refuse)
    tree.stage("x.py", b"new").publish()

    assert stat.S_IMODE(os.stat(root / "x.py").st_mode) == 0o705


def test_through_a_symbolic_link_its_target_is_replaced(tree: WorkTree, root: Path) -> None:
    staged = tree.stage("chain.py", b"new")
    staged.publish()
    tree.stage("dangling.py", b"made").publish()

    assert staged.name == "src/x.py"
    assert (root / "chain.py").is_symlink()
    assert (root / "src/x.py").read_bytes() == b"new"
    assert (root / "src/new.py").read_bytes() == b"made"


def test_a_link_turned_after_staging_is_not_followed(tree: WorkTree, root: Path) -> None:
    staged = tree.stage("link.py", b"new")
    (root / "link.py").unlink()
    (root / "link.py").symlink_to("x.py")

    staged.publish()

    assert (root / "src/x.py").read_bytes() == b"new"
    assert (root / "x.py").read_bytes() == b""


def test_a_folder_exchanged_after_staging_gets_nothing(tree: WorkTree, root: Path) -> None:
    staged = tree.stage("src/x.py", b"new")
    (root / "src").rename(root / "moved")
    (root / "src").mkdir()

    staged.publish()

    assert (root / "moved/x.py").read_bytes() == b"new"
    assert not (root / "src/x.py").exists()


def test_the_longest_file_name_can_be_written(tree: WorkTree, root: Path) -> None:
    for name in ("n" * 255, "\u00e9" * 127):
        tree.stage(name, b"new").publish()

        assert (root / name).read_bytes() == b"new"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("src", "is a folder"),
        ("src/", "is a folder"),
        ("new/", "is a folder"),
        (".", "is a folder"),
        ("not/there.py", "there is no folder"),
        ("x.py/there.py", "there is no folder"),
        ("/dev/null", "no regular file"),
        ("loop", "circle"),
        ("x.py/", "is a file"),
    ],
)
def test_what_cannot_be_written_is_refused(tree: WorkTree, path: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        tree.stage(path, b"new")
