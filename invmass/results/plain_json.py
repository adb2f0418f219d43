"""Strictly valid JSON, in which numbers that are not finite are null."""

import json
import math
from typing import Any


def plain_json(value: Any, **layout: Any) -> str:
    """A value as JSON text.

    Args:
        value: of lists, dicts, strings and numbers.
        layout: arguments of `json.dumps`, such as `indent`.
    """
    try:
        return json.dumps(value, allow_nan=False, **layout)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, **layout)


def finite(value: Any) -> Any:
    """The value with None in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
