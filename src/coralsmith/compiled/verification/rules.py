"""What is to be said of files that are verified, as data with evidence (`rules.json`)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from coralsmith.edgetpu.rules import Rule, rules_of


def verification_rule(identifier: str) -> Rule:
    """The rule of that identifier.

    Raises:
        KeyError: There is none.
    """
    return verification_rules()[identifier]


@cache
def verification_rules() -> dict[str, Rule]:
    """All rules by identifier, in the order of the file."""
    return rules_of(json.loads(files(__package__).joinpath("rules.json").read_text("utf-8")))
