"""The training doctor: watches a run and says in plain words what is wrong with it."""

from spine_ignite.training.doctor.diagnoses import Diagnosis, diagnose
from spine_ignite.training.doctor.handler import Doctor

__all__ = ["Diagnosis", "Doctor", "diagnose"]
