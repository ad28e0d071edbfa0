"""The processes of a run: which of them this one is, what they say to each other, and tensors that
are split over them.
"""
