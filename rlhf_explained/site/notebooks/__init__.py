"""Notebooks: run, shown as pages, and offered to take along."""
