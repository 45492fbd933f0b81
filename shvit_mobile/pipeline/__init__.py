"""The search: which layers of an int8 recipe stay in float, so that a drift budget holds at the least cost."""
