"""Damaged and hostile files: how many cases, and what each of them comes to."""
