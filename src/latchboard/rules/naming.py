"""Naming: a readable name for an agent that has none, from a seed; pure.

The same seed has the same name in every implementation, so that a program that is started again in the same session
goes on as the agent that it was. Two seeds have one name in one of 268 million cases; whoever needs to be sure looks
whether the name is in use.

Protocol: protocol/mcp.md, "Identity".
"""

from __future__ import annotations

_ADJECTIVES = (
    "able agile amber brave brief bright brisk calm civil clean clear clever cool crisp deft direct eager early easy "
    "even exact fair fast fine firm fresh frank gentle glad grand green handy happy keen kind large light lively loyal "
    "lucid merry mild modest neat nimble noble open patient plain polite prompt proud quick quiet ready royal sharp "
    "silent smart solid steady sunny swift tidy"
)
_ANIMALS = (
    "ant badger bat bear beaver bee bison boar camel cat cobra condor coral crab crane crow deer dingo dove duck eagle "
    "egret elk falcon finch fox frog gecko goat goose hare hawk heron horse ibex jay koala lark lemur lion llama lynx "
    "marten mole moose mouse newt otter owl panda quail raven robin seal shark shrew sloth stork swan tapir tiger toad "
    "whale wolf"
)
ADJECTIVES = _ADJECTIVES.split()
ANIMALS = _ANIMALS.split()


def readable(seed: str) -> str:
    """`adjective-animal-4 hex`, such as `calm-otter-1f3a`; always a valid agent id."""
    from hashlib import sha256  # few programs need a name, and none on the hot path

    digest = sha256(seed.encode("utf-8", "surrogatepass")).digest()
    adjective, animal = ADJECTIVES[digest[0] % 64], ANIMALS[digest[1] % 64]
    return f"{adjective}-{animal}-{digest[2:4].hex()}"
