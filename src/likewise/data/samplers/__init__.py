"""Which images go into a batch: shuffled, by class, or as pairs, by index arithmetic on whole arrays.

The images are sorted by class once (O(N log N), 10 ms for 60,000). After that the images of one class are a contiguous
run of the sorted order, so "another image of my class" is a random offset within a run and "an image of any other
class" a random offset outside it: partners for 57,000 anchors are a dozen operations on whole arrays and take about
6 ms, where a loop that looks through the labels for each item takes half a minute. An epoch is drawn at once, so that
the position within it is one number. Every draw comes from the ``torch.Generator`` given, and from nothing else.
"""

from likewise.data.samplers.balanced import ClassBalancedSampler, PKSampler
from likewise.data.samplers.distinct import DistinctSampler
from likewise.data.samplers.hierarchical import HierarchicalSampler
from likewise.data.samplers.pairs import PairSampler
from likewise.data.samplers.shuffled import shuffled_batches

__all__ = [
    "ClassBalancedSampler",
    "DistinctSampler",
    "HierarchicalSampler",
    "PKSampler",
    "PairSampler",
    "shuffled_batches",
]
