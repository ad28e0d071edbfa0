"""Trainings side by side: variants of one run with the same budget, judged by the same tests.

`compare` sets STELLAR beside its opposites (`systems.py`), `ablate` takes the objective apart, term
by term. Runs that are finished are not trained again, so a study that was interrupted goes on.
"""
