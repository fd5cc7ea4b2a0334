"""What the Edge TPU compiler accepts, as data with evidence: one file for each sort of fact, read by `book`.

| file | what |
|---|---|
| `operators.json` | each kind of operator: where it runs, since which runtime, in which versions, by which rules |
| `operator_rules.json` | what is asked of one operator |
| `model_rules.json` | what is asked of a whole model |
| `memory_rules.json` | what costs memory on the chip |
| `statuses.json` | every status that the compiler was seen to print |
| `compiler.json` | the compiler itself, its other words, and what is known of it that no rule foretells |
"""

from coralsmith.edgetpu.rules.book import RuleBook, Unpredicted, evidence_of, rule, rule_book, rules_of
from coralsmith.edgetpu.rules.facts import OperatorFacts, Target
from coralsmith.edgetpu.rules.rule import EVIDENCE_KINDS, Evidence, EvidenceKind, Rule, evidence_text

__all__ = [
    "EVIDENCE_KINDS",
    "Evidence",
    "EvidenceKind",
    "OperatorFacts",
    "Rule",
    "RuleBook",
    "Target",
    "Unpredicted",
    "evidence_of",
    "evidence_text",
    "rule",
    "rule_book",
    "rules_of",
]
