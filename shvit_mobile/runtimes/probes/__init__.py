"""The inside of artifacts: the values of their layers, found by the layers' names in the deploy form."""
