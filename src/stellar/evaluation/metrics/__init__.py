"""Numbers of tensors alone: how alike two pictures, two sets of them or two partitions are."""
