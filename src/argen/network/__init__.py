"""The result, and functions of it: files, views, joint errors, prediction, paths."""
