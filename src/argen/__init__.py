"""argen."""
