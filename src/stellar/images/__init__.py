"""Pictures as they come (files, Pillow's, arrays), as tensors of the channels and size of a model.

A picture is (C h w): uint8, or float32 in [0, 1] where it holds more than 8 bits.
"""

from stellar.images.arrays import from_array, from_tensor, in_range
from stellar.images.files import read_image, read_picture
from stellar.images.mask_files import (
    MASK_EXTENSIONS,
    as_shown,
    decode_mask,
    read_coloured_mask,
    read_mask,
)
from stellar.images.picture import (
    InputError,
    Picture,
    Pixels,
    UnreadableImage,
    eight_bits,
    unit_range,
)
from stellar.images.pillow import MAX_PIXELS, from_pillow, is_of_the_machine, to_pillow
from stellar.images.sizes import (
    check_fit,
    fitted,
    frame,
    framed,
    nearest_multiple,
    one_batch,
    preprocessing,
)

__all__ = [
    "MASK_EXTENSIONS",
    "MAX_PIXELS",
    "InputError",
    "Picture",
    "Pixels",
    "UnreadableImage",
    "as_shown",
    "check_fit",
    "decode_mask",
    "eight_bits",
    "fitted",
    "frame",
    "framed",
    "from_array",
    "from_pillow",
    "from_tensor",
    "in_range",
    "is_of_the_machine",
    "nearest_multiple",
    "one_batch",
    "preprocessing",
    "read_coloured_mask",
    "read_image",
    "read_mask",
    "read_picture",
    "to_pillow",
    "unit_range",
]
