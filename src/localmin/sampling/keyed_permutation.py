"""A random permutation that is never written down: any entry of it is computed from a key.

A shuffled list of 10^10 numbers takes 80 GB; a swap-or-not shuffle takes a few hundred numbers, whatever its
length, and finds the k-th entry without the others.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from localmin.errors import InputError

__all__ = ["KeyedPermutation"]

_LARGEST = 2**62


class KeyedPermutation:
    """Permute the numbers below ``length`` as a key says; entries are computed when they are asked for.

    Every round pairs x with ``(K - x) mod length`` and lets one keyed bit of the pair decide whether the two
    change places. Whatever the bits are, a round is a bijection, so the whole is one for every length and
    key, without gaps or retries.

    Args:
        length: Number of entries, 1 to ``2^62``.
        key: Whole numbers >= 0; other keys give unrelated permutations.

    Source:
        [hoang2012], the swap-or-not shuffle. Deviations: the bit of a pair comes from an integer hash (the
        finaliser of splitmix64), not from a cipher, so nothing here is secret; and we use ``4 b + 40`` rounds
        for lengths of b bits. That the result behaves like a uniform permutation is tested, not proved.

    Cost:
        ``4 b + 40`` rounds of a dozen array operations over the entries asked for. Memory: 16 bytes a round.

    Example:
        >>> shuffle = KeyedPermutation(5, 2024, 0)
        >>> sorted(shuffle(np.arange(5)).tolist())
        [0, 1, 2, 3, 4]
        >>> int(shuffle(np.array([3]))[0]) == int(shuffle(np.arange(5))[3])
        True
    """

    def __init__(self, length: int, *key: int) -> None:
        if not 1 <= length <= _LARGEST:
            raise InputError(f"length: expected 1 to 2^62 entries, got {length}")
        self.length = length
        num_rounds = 4 * length.bit_length() + 40
        words = np.random.SeedSequence(key).generate_state(2 * num_rounds, np.uint64)
        self._pair_sums = (words[:num_rounds] % np.uint64(length)).astype(np.int64).tolist()
        self._round_keys = words[num_rounds:]

    def __call__(self, positions: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Find the entries at some positions.

        Args:
            positions: Whole numbers from 0 to ``length - 1``, shape ``(m,)``, int64.

        Returns:
            The entries there, shape ``(m,)``, int64.
        """
        entries = np.asarray(positions, dtype=np.int64)
        for pair_sum, round_key in zip(self._pair_sums, self._round_keys, strict=True):
            partners = pair_sum - entries
            partners += (partners >> 63) & self.length  # modulo: the difference is above -length
            bits = _mixed(np.maximum(entries, partners).view(np.uint64) ^ round_key) >> np.uint64(63)
            entries = np.where(bits.astype(bool), partners, entries)
        return entries


def _mixed(words: np.ndarray) -> np.ndarray:
    """Make every bit depend on all bits, as the finaliser of splitmix64 does."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed
