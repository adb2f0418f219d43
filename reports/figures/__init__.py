"""Figures derived from rows.

Functions that take rows and return text return one `<svg>` element, or an empty string if the rows
hold nothing to show.
"""
