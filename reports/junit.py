"""Verdicts as JUnit XML, which every CI system reads."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from invmass.results import wording

from . import tables

# An inconclusive verdict is never green.
_ELEMENTS = {
    "fail": "failure",
    "inconclusive": "failure",
    "error": "error",
    "skipped": "skipped",
    "expected failure": "skipped",
}


def junit(rows: pd.DataFrame) -> bytes:
    """One testcase for the newest verdict of each check, as an XML document in UTF-8."""
    newest = tables.verdicts(rows)
    outcomes = newest["status"].map(_ELEMENTS)
    seconds = pd.to_numeric(newest["seconds"], errors="coerce").fillna(0)
    counts = {
        "tests": str(len(newest)),
        "failures": str((outcomes == "failure").sum()),
        "errors": str((outcomes == "error").sum()),
        "skipped": str((outcomes == "skipped").sum()),
        "time": f"{seconds.sum():.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": "invmass"} | counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "invmass"} | counts)
    if len(newest):
        suite.set("timestamp", str(newest["time"].dropna().max()))
    for verdict, duration in zip(newest.to_dict("records"), seconds, strict=True):
        suite.append(_testcase(verdict, duration))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _testcase(verdict: Mapping[str, Any], seconds: float) -> ElementTree.Element:
    names = (verdict[name] for name in ("backend", "metric", "device", "dtype"))
    label = "-".join(str(name) for name in names if wording.known(name))
    claim = verdict["claim"] if wording.known(verdict["claim"]) else "no claim"
    testcase = ElementTree.Element(
        "testcase",
        classname=_clean(f"invmass.{verdict['case']}"),
        name=_clean(f"{claim} [{label}]"),
        time=f"{seconds:.3f}",
    )
    status = verdict["status"]
    if status in _ELEMENTS:
        message = str(verdict["message"]) if wording.known(verdict["message"]) else ""
        command = str(verdict["command"]) if wording.known(verdict["command"]) else ""
        lines = (message, wording.effect(verdict), f"repeat with: {command}" if command else "")
        outcome = ElementTree.SubElement(
            testcase,
            _ELEMENTS[status],
            type=status,
            message=_clean(f"{status}: {wording.gist(message) or wording.effect(verdict)}"),
        )
        outcome.text = _clean("\n".join(line for line in lines if line))
    return testcase


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold; terminals' colours are made of them."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
