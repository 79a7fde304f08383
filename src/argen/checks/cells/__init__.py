"""Columns of the cells: whether chance decided which cell got which guide."""
