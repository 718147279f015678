"""Helpers that task and flow code may use: annotations, collections and callables."""
