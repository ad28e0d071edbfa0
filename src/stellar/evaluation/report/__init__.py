"""An evaluation as people read it: in the terminal, as a page, and beside the paper's numbers."""
