"""What a model knows (S), where it knows it (L), and what it can draw again (Z)."""
