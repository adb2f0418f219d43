"""Backends that are wrong on purpose: each a few lines on top of one that is right."""
