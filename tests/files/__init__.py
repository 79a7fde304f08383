"""Tests of how files are written and read."""
