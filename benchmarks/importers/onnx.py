"""One import by coralsmith, comparison with the source included; prints what came out as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from coralsmith.importers import import_model

if __name__ == "__main__":
    imported = import_model(Path(sys.argv[1]) / sys.argv[2])
    assert imported.verification is not None
    print(
        json.dumps(
            {
                "operators": len(imported.graph.ops),
                "worst_difference": imported.verification.worst_difference,
                "transposes": sum(op.kind == "TRANSPOSE" for op in imported.graph.ops),
            }
        )
    )
