"""Computes 95% intervals for proportions and paired differences, McNemar's exact test, and the images they need."""

from math import ceil, exp, lgamma, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.drift_row import McNemar, ProportionEstimate
from shvit_mobile.errors import BadImages, InvalidValue

Z95 = NormalDist().inv_cdf(0.975)
# Closer proportions are equal: 0.3% of a limit and 3 of 1000 images differ by less.
_ROUNDING_TOLERANCE = 1e-12


def estimate_proportion(hits: NDArray[np.bool_]) -> ProportionEstimate:
    """Return the share of `hits`, booleans of shape (images,), with its Wilson interval.

    Raises:
        BadImages: If there are no images.
    """
    return compute_wilson_interval(int(np.count_nonzero(hits)), len(hits))


def compute_wilson_interval(hits: int, images: int) -> ProportionEstimate:
    """Return `hits` out of `images` with the 95% score interval, without continuity correction.

    It stays within 0 to 1 and has a width at 0 and at 1, where a normal interval has none. Source: E. B. Wilson,
    Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212; method 3 of
    R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872.

    Raises:
        BadImages: If there are no images.
        InvalidValue: If `hits` is not in 0 to `images`.
    """
    _check_counts(hits, images=images)
    value = hits / images
    denominator = 1 + Z95**2 / images
    centre = (value + Z95**2 / (2 * images)) / denominator
    half = Z95 * sqrt(value * (1 - value) / images + (Z95 / (2 * images)) ** 2) / denominator
    # At 0 and at 1 the interval ends there exactly; rounding would leave 1e-17 on either side.
    low = max(0.0, centre - half) if hits else 0.0
    high = min(1.0, centre + half) if hits < images else 1.0
    return ProportionEstimate(value=value, low=low, high=high)


def compute_mcnemar_test(lost: int, gained: int) -> McNemar:
    """Compute McNemar's exact conditional test, two-sided.

    If neither model were better, each image that only one of them got right would fall to either with probability 1/2.
    The p-value is twice the probability that a binomial (lost + gained, 1/2) is at most the smaller count, and at most
    1. Source: Q. McNemar, Psychometrika 12 (1947) 153-157, in the exact form of F. Mosteller, Biometrics 8 (1952)
    220-226.

    Args:
        lost: Images that only the float model gets right.
        gained: Images that only the artifact gets right.

    Raises:
        InvalidValue: If a count is negative.
    """
    _check_counts(lost, gained)
    p_value = min(1.0, 2 * compute_binomial_tail(min(lost, gained), lost + gained))
    return McNemar(lost=lost, gained=gained, p_value=p_value)


def compute_drop_interval(lost: int, gained: int, images: int) -> tuple[float, float]:
    """Compute the 95% interval of the top-1 drop, 100 (lost - gained) / images, in points, from paired predictions.

    Tango's score interval: all differences that a score test of the paired table does not reject. Unlike Newcombe's it
    does not depend on how many images both models get right, and unlike a normal interval it has a width if no image
    is lost or gained. Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design, Statistics in Medicine 17 (1998) 891-908; recommended by M. W. Fagerland, S. Lydersen and
    P. Laake, Statistics in Medicine 33 (2014) 2850-2875.

    Args:
        lost: Images that only the float model gets right.
        gained: Images that only the artifact gets right.
        images: All images.

    Returns:
        (low, high), in -100 to 100; positive is worse than the float model.

    Raises:
        BadImages: If there are no images.
        InvalidValue: If a count is negative, or `lost` + `gained` is above `images`.
    """
    _check_counts(lost, gained, images=images)
    # Exchanging the two models changes the sign of the difference.
    return -100 * _find_upper_difference(gained, lost, images), 100 * _find_upper_difference(lost, gained, images)


def estimate_images_for_drop(lost: int, gained: int, images: int, limit: float) -> int | None:
    """Estimate how many images put the upper end of `compute_drop_interval` at `limit` or below.

    The counts are assumed to grow with the images. An interval ends where the score test begins to reject. With n
    images it rejects the limit d if n (observed - d)^2 > z^2 v(d), with v the variance of one image, which does not
    depend on n; the result is z^2 v(d) / (observed - d)^2, rounded up.

    Args:
        lost, gained, images: As in `compute_drop_interval`.
        limit: Points of top-1, -100 to 100.

    Returns:
        At least 1; None if the observed drop is at the limit or above it.

    Raises:
        BadImages, InvalidValue: As `compute_drop_interval`.
    """
    _check_counts(lost, gained, images=images)
    return _estimate_images_to_reject(
        (lost - gained) / images, limit / 100, compute_score_variance(lost, gained, images, limit / 100) / images
    )


def estimate_images_for_proportion(hits: int, images: int, limit: float) -> int | None:
    """Estimate how many images put the lower end of `compute_wilson_interval` at `limit` or above.

    As `estimate_images_for_drop`; the variance of one image is p (1 - p) for a proportion p.

    Args:
        hits, images: As in `compute_wilson_interval`.
        limit: A share, 0 to 1.

    Raises:
        BadImages, InvalidValue: As `compute_wilson_interval`.
    """
    _check_counts(hits, images=images)
    return _estimate_images_to_reject(-hits / images, -limit, limit * (1 - limit))


def _estimate_images_to_reject(observed: float, limit: float, variance: float) -> int | None:
    """Return the number of images at which a score test rejects `limit`; `variance` is that of one image."""
    if limit - observed < _ROUNDING_TOLERANCE:
        return None
    return max(1, ceil(Z95**2 * variance / (observed - limit) ** 2))


def _find_upper_difference(lost: int, gained: int, images: int) -> float:
    """Find by bisection the largest difference, in -1 to 1, that Tango's score test does not reject."""
    observed = (lost - gained) / images

    def accepted(difference: float) -> bool:
        variance = compute_score_variance(lost, gained, images, difference)
        return (images * (observed - difference)) ** 2 <= Z95**2 * variance

    low, high = observed, 1.0
    if accepted(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if accepted(middle) else (low, middle)
    return low


def compute_score_variance(lost: int, gained: int, images: int, difference: float) -> float:
    """Compute the variance of `lost` - `gained` under a true difference `difference`.

    Tango's n (2 q + d (1 - d)), where q is the most likely probability of a gained image given the difference d: the
    larger root of 2 n q^2 + ((2 n - lost + gained) d - lost - gained) q - gained d (1 - d) = 0.
    """
    linear = (2 * images - lost + gained) * difference - lost - gained
    constant = -gained * difference * (1 - difference)
    root = (sqrt(max(0.0, linear**2 - 8 * images * constant)) - linear) / (4 * images)
    return max(0.0, images * (2 * root + difference * (1 - difference)))


def compute_binomial_tail(most: int, trials: int, share: float = 0.5) -> float:
    """Compute P(Binomial(trials, share) <= most); `share` is above 0 and below 1.

    It is summed from the largest term down until terms vanish; the relative error for a million trials is about 1e-9.
    """
    if most >= trials * share:
        return 1.0 - (compute_binomial_tail(trials - most - 1, trials, 1 - share) if most < trials else 0.0)
    if most < 0:
        return 0.0
    choices = lgamma(trials + 1) - lgamma(most + 1) - lgamma(trials - most + 1)
    term, total = exp(choices + most * log(share) + (trials - most) * log(1 - share)), 0.0
    for count in range(most, -1, -1):
        total += term
        term *= count / (trials - count + 1) * (1 - share) / share
        if term < total * 1e-18:
            break
    return total


def _check_counts(*counts: int, images: int | None = None) -> None:
    if images is not None and images < 1:
        raise BadImages("There are no images to compare on.", why="A share needs at least one image.")
    if min(counts) < 0 or (images is not None and sum(counts) > images):
        of = "" if images is None else f" of {images} images"
        raise InvalidValue(
            f"{' and '.join(map(str, counts))}{of} is not possible.",
            why="Counts are at least 0, and together at most the number of images.",
        )
