"""What a device trains that is too small for the whole model: fewer layers, or fewer channels of each."""
