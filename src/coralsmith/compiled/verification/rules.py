"""What is to be said of files that are verified, as data with evidence (`rules.json`)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from coralsmith.edgetpu.rules import Evidence, Rule


def verification_rule(identifier: str) -> Rule:
    """The rule of that identifier.

    Raises:
        KeyError: There is none.
    """
    return verification_rules()[identifier]


@cache
def verification_rules() -> dict[str, Rule]:
    """All rules by identifier, in the order of the file."""
    content = json.loads(files(__package__).joinpath("rules.json").read_text("utf-8"))
    return {
        name: Rule(id=name, **{**entry, "evidence": tuple(Evidence(*one) for one in entry["evidence"].items())})
        for name, entry in content.items()
    }
