"""What a representation costs: numbers to keep for an image, beside the speed of making them."""

from stellar.config import ModelConfig


def floats_per_image(config: ModelConfig) -> dict[str, int]:
    """Numbers of each part of an image's factors, at the model's own image size."""
    patches = (config.image_size // config.patch_size) ** 2
    tokens, width = config.num_sparse_tokens, config.embed_dim
    sparse, spatial = tokens * width, patches * tokens
    found = {"cls": width, "S": sparse, "L": spatial, "S and L": sparse + spatial}
    return {name: count for name, count in found.items() if count} | {"dense": patches * width}
