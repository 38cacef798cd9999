"""The integrator: commits what was done on the branch, and merges it. Done twice, it does nothing the second time."""

import json
import subprocess
import sys


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


job = json.load(sys.stdin)
branch = job["payload"]["branch"]
if git("branch", "--show-current") == branch:
    git("add", "--all")
    if git("status", "--porcelain"):
        git("commit", "--quiet", "--message", f"{job['payload']['old']} is called {job['payload']['new']}")
    git("switch", "--quiet", "main")
git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", branch)
print(git("log", "--oneline", "-1"))
