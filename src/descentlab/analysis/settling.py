"""What an open question lacks: final seeds, which looks add, or tuning seeds, which they don't."""

from __future__ import annotations

import math


def lacks_tuning_seeds(mean: float, margin: float, floor: float, example_share: float, choice_share: float) -> bool:
    """Whether more tuning seeds could settle an inconclusive difference, and no number of final seeds can.

    It is settled by an interval that excludes 0 or lies inside (−margin, margin), if the mean stays what it is
    (docs/statistics.md, "Pairs that would settle it").

    Args:
        mean: the difference.
        margin: in its unit.
        floor: half of its interval that no number of final seeds reduces; NaN without an interval.
        example_share, choice_share: of the mean's variance: that of the test examples, and the noise of tuning.

    Example:
        Half of the interval stays 3 wide, but only 1 of it is due to the test examples; narrower than 2 is enough:

        >>> lacks_tuning_seeds(2.0, margin=1.0, floor=3.0, example_share=0.1, choice_share=0.8)
        True
        >>> lacks_tuning_seeds(2.0, margin=1.0, floor=3.0, example_share=0.8, choice_share=0.1)
        False
    """
    needed = max(abs(mean), margin - abs(mean))
    stays = example_share + choice_share
    return bool(floor >= needed) and stays > 0 and floor * math.sqrt(example_share / stays) < needed
