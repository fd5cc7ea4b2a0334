"""Any record as the text of a JSON document."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np


def to_document(record: Any) -> Any:
    """Any record as JSON values: dataclasses become objects, numpy values numbers, infinities null."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_document(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): to_document(value) for key, value in record.items()}
    if isinstance(record, (list, tuple, set, frozenset)):
        return [to_document(value) for value in record]
    if isinstance(record, np.ndarray):
        return to_document(record.tolist())
    if isinstance(record, np.generic):
        return to_document(record.item())
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return str(record) if isinstance(record, Path) else record


def to_json(record: Any) -> str:
    """Any record as the text of a JSON document, the same for the same record."""
    return json.dumps(to_document(record), indent=1, ensure_ascii=False) + "\n"
