"""The sections of the page: each a module for what it says, and a template of the same name for how it looks."""
