"""What a chosen device's update weighs in the merge."""

STEPS = 2.0**20  # sums of whole steps are exact in float64, so they do not depend on the order of replies


def weight_of(num_examples: int, inclusion: float) -> float:
    """a = n / p (Horvitz and Thompson 1952), at least 1, to the nearest 2^-20.

    Summed over the devices asked it expects the sum over all, however they were chosen, if all asked answer. Where only
    the first answers are waited for, a reply's own inclusion depends on its device's speed, which p knows nothing of.
    """
    return max(1.0, round(num_examples / inclusion * STEPS) / STEPS)
