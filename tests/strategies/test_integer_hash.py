import numpy as np

from fedtailor.strategies.codec.integer_hash import integer_hash


def test_the_words_are_those_of_splitmix64():
    assert [hex(word) for word in integer_hash(0, 3).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_any_seed_of_64_bits_is_taken():
    assert integer_hash(2**64 - 1, 2).dtype == np.uint64
    assert (integer_hash(2**64 - 1, 2) != integer_hash(0, 2)).all()


def test_each_bit_is_set_in_about_half_of_the_words():
    bits = np.unpackbits(integer_hash(7, 4096).view(np.uint8)).reshape(4096, 64)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(4096)
