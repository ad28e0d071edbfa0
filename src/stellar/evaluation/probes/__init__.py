"""What is fitted to features to find out what they know: neighbours, clusters, linear layers."""
