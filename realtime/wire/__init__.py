"""The shapes of all that clients read and write as JSON: answers of routes, events, control messages.

They are typed dictionaries, which cost nothing where they are made. Docstrings are read by ``/openapi.json`` and by
docs/API.md: a section ``Attributes:`` describes the fields.
"""
