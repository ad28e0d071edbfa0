"""The tests: each a function from a subject to scores."""
