"""The JSON Schemas of every document, as package data."""
