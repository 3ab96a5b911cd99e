"""New plugins: whole distributions made from templates, which install, pass their tests and do something as they are.

The templates are files under ``templates/``: ``common`` for every kind, and a folder for each.
"""
