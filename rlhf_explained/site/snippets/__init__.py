"""The code that pages and docstrings show: found, run, and its output compared."""
