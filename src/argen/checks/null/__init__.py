"""Null screens: whether p-values hold where nothing acts on anything."""
