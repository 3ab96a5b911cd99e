"""What ``import spine_ignite`` offers to a script or a notebook.

Uses all rooms but the command line: takes names of files as text, plain dictionaries and images in memory, hands them
to the room that does the work, and leaves what belongs to the whole process as it was.
"""
