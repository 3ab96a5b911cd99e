"""Many trainings as one plan: models, folds, seeds and settings over one base configuration and one dataset.

Uses every room but the command line. A study lies in one folder (`study_directory`); each of its cells is an ordinary
run in it, which every other command can read.
"""
