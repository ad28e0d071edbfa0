"""What a model says of pictures, of their patches and of the objects in them, read many times."""
