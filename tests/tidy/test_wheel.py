"""The wheel that users get: everything under src/latchboard, the typing marker, the commands."""

from __future__ import annotations

import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.tidy.tree import PACKAGE, ROOT, tracked


def test_wheel_ships_every_file_of_the_package(tmp_path: Path, require: Callable[[object, str], None]) -> None:
    uv = ROOT / ".tools" / "bin" / "uv"
    require(uv.exists(), "uv is not set up: run make setup")

    build = [str(uv), "build", "--wheel", "--offline", "--quiet", "--out-dir", str(tmp_path)]
    done = subprocess.run(build, check=False, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = set(wheel.namelist())
        commands = next(wheel.read(name).decode() for name in shipped if name.endswith("/entry_points.txt"))
    ours = {path.relative_to(PACKAGE.parent).as_posix() for path in tracked() if path.is_relative_to(PACKAGE)}
    assert "latchboard/py.typed" in ours
    assert ours <= shipped
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert set(scripts) == {"latchboard", "latchboard-hook", "latchboard-git-hook"}
    assert {f"{name} = {function}" for name, function in scripts.items()} <= set(commands.splitlines())
