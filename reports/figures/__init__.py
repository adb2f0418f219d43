"""Figures derived from rows.

Every public function returns the text of one `<svg>` element, or an empty string if the rows hold
nothing to show.
"""
