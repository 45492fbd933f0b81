"""The sections of the page: each a module that says what is in it, and a template of the same name that says how it looks."""
