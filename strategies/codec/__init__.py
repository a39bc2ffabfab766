"""Update codecs: named pairs of pure functions, and the envelope around their bytes."""
