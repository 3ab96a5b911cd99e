"""New plugins: whole distributions made from templates, which install, pass their tests and do something as they are.

The templates are files under ``templates/``: ``distribution``, which makes any of them one that installs, and
a folder for each kind.
"""
