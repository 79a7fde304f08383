"""The steps of the method: descendants, order, parents, and the rule that calls edges."""
