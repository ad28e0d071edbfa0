"""The protocols of the published code, for those who check its table: other crops, other budgets
and other scoring than ours, so that their numbers are never set beside ours.
"""
