import importlib.util
import sys
import types
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adaps.report import statistics
from adaps.report.statistics import (
    area_under_curve,
    difference_interval,
    first_reached,
    improvement_interval,
    interval,
    iqm,
    leader,
    normalise,
    performance_profile,
    probability_of_improvement,
    profile_interval,
)

THRESHOLDS = np.linspace(-1.0, 2.0, 7)


def mean_of_means(scores):
    return np.mean([runs.mean(axis=-1) for runs in scores], axis=0)


@pytest.fixture(scope="module")
def rliable():
    """The library of Agarwal et al.

    It needs only the bootstrap of an ``arch`` older than 8, the rest of which does not import
    beside pandas 3: so the package's own ``__init__`` is passed over.
    """
    spec = importlib.util.find_spec("arch")
    arch = types.ModuleType("arch")
    arch.__path__ = spec.submodule_search_locations
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setitem(sys.modules, "arch", arch)
        from rliable import library, metrics  # noqa: PLC0415

        yield types.SimpleNamespace(library=library, metrics=metrics)


@pytest.fixture
def legacy_seed():
    """Seeds what rliable draws from, and leaves it as it was."""
    state = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(state)


# Environments and runs.
matrices = st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).normal(size=drawn[:2]).round(1)
)
# Unequal numbers of runs, and a few values only: many are equal.
studies = st.lists(
    st.lists(st.sampled_from([-2.0, 0.0, 0.1, 1.0, 30.0]), min_size=2, max_size=6).map(np.array),
    min_size=1,
    max_size=4,
)


class TestAgreementWithRliable:
    @given(matrices)
    @settings(max_examples=50, deadline=None)
    def test_iqm(self, rliable, scores):
        assert iqm(list(scores)) == pytest.approx(rliable.metrics.aggregate_iqm(scores.T), abs=1e-9)

    @given(matrices, st.integers(1, 8), st.integers(0, 2**32 - 1))
    @settings(max_examples=50, deadline=None)
    def test_probability_of_improvement(self, rliable, x, runs, seed):
        y = np.random.default_rng(seed).normal(size=(len(x), runs)).round(1)
        theirs = rliable.metrics.probability_of_improvement(x.T, y.T)
        assert probability_of_improvement(list(x), list(y)) == pytest.approx(theirs, abs=1e-9)

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.usefixtures("legacy_seed")
    def test_intervals_of_iqm_within_a_tenth_of_their_width(self, rliable, seed):
        scores = np.random.default_rng(seed).lognormal(size=(5, 10))
        both = rliable.library.get_interval_estimates(
            {"all": scores.T}, lambda s: np.array([rliable.metrics.aggregate_iqm(s)]), reps=3_000
        )
        (value,), ((low,), (high,)) = both[0]["all"], both[1]["all"]
        ours = interval(list(scores), resamples=3_000)
        assert ours.value == pytest.approx(value, abs=1e-9)
        assert [ours.low, ours.high] == pytest.approx([low, high], abs=0.1 * (high - low))

    @pytest.mark.usefixtures("legacy_seed")
    def test_intervals_of_improvement_within_a_tenth_of_their_width(self, rliable):
        rng = np.random.default_rng(0)
        x, y = rng.normal(0.5, size=(4, 8)), rng.normal(size=(4, 6))
        both = rliable.library.get_interval_estimates(
            {"both": (x.T, y.T)},
            lambda x, y: np.array([(x[:, None] > y).mean()]),  # its own metric takes minutes
            reps=3_000,
        )
        (value,), ((low,), (high,)) = both[0]["both"], both[1]["both"]
        ours = improvement_interval(list(x), list(y), resamples=3_000)
        assert ours.value == pytest.approx(value, abs=1e-9)
        assert [ours.low, ours.high] == pytest.approx([low, high], abs=0.1 * (high - low))

    @pytest.mark.usefixtures("legacy_seed")
    def test_profiles_with_ends_within_three_hundredths(self, rliable):
        scores = np.random.default_rng(0).normal(size=(5, 10))
        both = rliable.library.create_performance_profile({"all": scores.T}, THRESHOLDS)
        ours = profile_interval(list(scores), THRESHOLDS)
        assert ours.value == pytest.approx(both[0]["all"], abs=1e-9)
        assert np.array([ours.low, ours.high]) == pytest.approx(both[1]["all"], abs=0.03)


class TestCoverage:
    """Of the 95 % interval, over simulated studies of 5 environments × 10 runs.

    Scores are lognormal, from another place on in each environment. Of 300 studies with a true
    coverage of 0.93, fewer than 0.89 or more than 0.97 are covered once in a hundred times.
    """

    SIMULATIONS = 300
    SHIFT = 0.3
    SHAPE = stats.lognorm(0.8)
    PLACES = 0.5 * np.arange(5)[:, None]
    QUANTILES = SHAPE.ppf((np.arange(100_000) + 0.5) / 100_000)

    def study(self, rng):
        return list(rng.lognormal(sigma=0.8, size=(5, 10)) + self.PLACES)

    def better(self, rng):
        return [runs + self.SHIFT for runs in self.study(rng)]

    def covered(self, truth, interval_of):
        rng = np.random.default_rng(0)
        ends = [interval_of(rng) for _ in range(self.SIMULATIONS)]
        return np.mean([low <= truth <= high for low, _, high in ends])

    def test_of_iqm_from_89_to_97_percent(self):
        truth = stats.trim_mean(self.QUANTILES + self.PLACES, 0.25, axis=None)
        covered = self.covered(truth, lambda rng: interval(self.study(rng), resamples=400))
        assert 0.89 <= covered <= 0.97

    def test_of_a_difference_from_89_to_97_percent(self):
        def of_difference(rng):
            return difference_interval(self.better(rng), self.study(rng), resamples=400)

        assert 0.89 <= self.covered(self.SHIFT, of_difference) <= 0.97

    def test_of_improvement_from_89_to_97_percent(self):
        def of_improvement(rng):
            two = slice(2)  # environments: each costs a call of SciPy's
            return improvement_interval(self.better(rng)[two], self.study(rng)[two], resamples=400)

        truth = np.mean(self.SHAPE.cdf(self.QUANTILES + self.SHIFT))
        assert 0.89 <= self.covered(truth, of_improvement) <= 0.97


class TestInterval:
    def test_is_the_same_for_the_same_seed(self):
        scores = list(np.random.default_rng(0).normal(size=(2, 6)))
        assert interval(scores, seed=3) == interval(scores, seed=3)
        assert interval(scores, seed=3) != interval(scores, seed=4)

    @given(st.floats(-1e6, 1e6), st.lists(st.integers(2, 8), min_size=1, max_size=4))
    @settings(max_examples=50, deadline=None)
    def test_has_no_width_where_all_scores_are_equal(self, score, runs):
        scores = [np.full(n, score) for n in runs]
        ours = interval(scores, resamples=50)
        assert ours.low == ours.value == ours.high == pytest.approx(score)
        assert difference_interval(scores, scores, resamples=50) == (0, 0, 0)
        assert improvement_interval(scores, scores, resamples=50) == (0.5, 0.5, 0.5)

    @given(studies)
    @settings(max_examples=30, deadline=None)
    def test_lies_within_the_scores(self, scores):
        low, value, high = interval(scores, resamples=100)
        pooled = np.concatenate(scores)
        assert pooled.min() - 1e-9 <= low <= high <= pooled.max() + 1e-9
        assert value == iqm(scores)

    def test_has_no_ends_where_an_environment_has_one_run(self):
        one, many = np.array([1.0]), np.arange(4.0)
        assert interval([one]) == (None, 1.0, None)
        assert interval([many, one]) == (None, 4 / 3, None)
        assert difference_interval([many], [one]) == (None, 0.5, None)
        assert improvement_interval([many], [one]) == (None, 0.625, None)
        assert profile_interval([one], THRESHOLDS).low is None

    def test_never_draws_environments(self):
        ours = interval([np.zeros(3), np.full(5, 9.0)], mean_of_means)
        assert ours == (4.5, 4.5, 4.5)

    def test_is_wider_at_a_higher_level(self):
        scores = [np.arange(10.0)]
        wide, narrow = (interval(scores, level=level) for level in (0.99, 0.5))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_refuses_a_statistic_that_forgets_the_axes_before_the_runs(self):
        with pytest.raises(ValueError, match="keep the axes before the runs"):
            interval([np.arange(4.0)], lambda scores: float(np.mean(scores[0])))

    @pytest.mark.parametrize("option", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
    def test_refuses_options_out_of_range(self, option):
        with pytest.raises(ValueError, match=next(iter(option))):
            interval([np.arange(4.0)], **option)


class TestDifference:
    def test_turns_with_its_sides(self):
        x, y = [np.arange(6.0)], [np.arange(1.0, 5.0)]
        there, back = difference_interval(x, y), difference_interval(y, x)
        assert there.value == -back.value == iqm(x) - iqm(y)
        assert there.low == pytest.approx(-back.high, abs=0.2)

    def test_of_a_shift_that_no_run_blurs(self):
        x, y = [np.full(3, 2.0), np.full(4, 3.0)], [np.full(2, 1.0), np.full(5, 2.0)]
        assert difference_interval(x, y, mean_of_means) == (1, 1, 1)


class TestImprovement:
    @given(studies)
    @settings(max_examples=30, deadline=None)
    def test_both_ways_make_one_and_ties_count_half(self, x):
        y = [np.array([0.1, 1.0, 5.0]) for _ in x]
        one_way, other_way = probability_of_improvement(x, y), probability_of_improvement(y, x)
        assert one_way + other_way == pytest.approx(1)
        assert probability_of_improvement(x, x) == pytest.approx(0.5)
        pairs = [np.sign(a[:, None] - b).mean() / 2 + 0.5 for a, b in zip(x, y, strict=True)]
        assert one_way == pytest.approx(np.mean(pairs))

    def test_refuses_other_environments(self):
        with pytest.raises(
            ValueError, match=r"numbers of environments must be equal, not \[1, 2\]"
        ):
            probability_of_improvement([np.zeros(2)], [np.zeros(2)] * 2)


class TestProfile:
    def test_falls_from_one_to_zero_and_weighs_environments_alike(self):
        scores = [np.array([0.0, 1.0]), np.array([1.0])]
        profile = performance_profile(scores, np.array([-1.0, 0.0, 0.5, 1.0]))
        assert profile.tolist() == [1, 0.75, 0.75, 0]

    def test_intervals_contain_it_and_fall_too(self):
        scores = [np.arange(8.0), np.arange(5.0)]
        band = profile_interval(scores, np.arange(-1.0, 9.0))
        assert ((band.low <= band.value) & (band.value <= band.high)).all()
        assert all((np.diff(line) <= 0).all() for line in band)
        assert band.low[0] == band.high[0] == 1
        assert band.low[-1] == band.high[-1] == 0

    @pytest.mark.parametrize("thresholds", [[], [np.nan]])
    def test_refuses_thresholds_that_are_none(self, thresholds):
        with pytest.raises(ValueError, match="thresholds"):
            performance_profile([np.zeros(2)], np.array(thresholds, float))


class TestLeader:
    low, high = [np.array([0.0, 0.1, 0.2])], [np.array([1.0, 1.1, 1.2])]

    def test_is_above_everyone(self):
        assert leader({"a": self.low, "b": self.high, "c": self.low}) == "b"

    def test_is_no_one_where_intervals_overlap(self):
        assert leader({"a": self.low, "b": self.high, "c": self.high}) is None

    def test_is_no_one_where_intervals_touch(self):
        assert leader({"a": [np.ones(3)], "b": [np.ones(3)]}) is None

    def test_is_no_one_where_an_interval_is_unknown(self):
        assert leader({"a": self.low, "b": [np.array([9.0])]}) is None
        assert leader({"a": self.high, "b": [np.array([-9.0])]}) is None

    def test_is_no_one_without_another(self):
        assert leader({}) is None
        assert leader({"a": self.low}) is None

    def test_is_on_the_same_environments(self):
        with pytest.raises(ValueError, match="numbers of environments"):
            leader({"a": self.low, "b": self.high * 2})


class TestNormalise:
    @given(studies, st.floats(-100, 100), st.floats(0.1, 100))
    @settings(deadline=None)
    def test_is_undone_by_its_inverse(self, scores, low, width):
        back = [runs * width + low for runs in normalise(scores, low, low + width)]
        for ours, theirs in zip(back, scores, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-6)

    def test_each_environment_by_its_own_bounds(self):
        scores = [np.array([1.0, 2.0]), np.array([15.0])]
        ours = normalise(scores, [0.0, 10.0], [2.0, 20.0])
        assert [runs.tolist() for runs in ours] == [[0.5, 1], [0.5]]

    @pytest.mark.parametrize("high", [1.0, 0.0, np.nan, np.inf])
    def test_refuses_bounds_that_are_none(self, high):
        with pytest.raises(ValueError, match=r"environment 1: high .* must be above low"):
            normalise([np.zeros(2)] * 2, 1.0, [2.0, high])

    def test_refuses_bounds_of_other_environments(self):
        with pytest.raises(ValueError, match="3 bounds for 1 environments"):
            normalise([np.zeros(2)], 0.0, [1.0, 1.0, 1.0])


class TestCurves:
    @given(st.lists(st.floats(-10, 10), min_size=2, max_size=10))
    def test_area_is_between_the_lowest_and_the_highest_point(self, values):
        area = area_under_curve(np.arange(len(values)), np.array(values))
        assert min(values) - 1e-9 <= area <= max(values) + 1e-9

    def test_area_counts_steps_and_not_points(self):
        steps, values = np.array([0, 10, 20, 100]), np.array([0.0, 0.0, 1.0, 1.0])
        assert area_under_curve(steps, values) == pytest.approx(0.85)

    @given(st.lists(st.floats(-10, 10), min_size=1, max_size=10), st.floats(-10, 10))
    def test_a_target_is_reached_first_where_the_curve_crosses_it(self, values, target):
        x = np.arange(len(values))
        reached = first_reached(x, np.array(values), target)
        if reached is None:
            assert max(values) < target
        else:
            before = [value for step, value in enumerate(values) if step < reached]
            assert all(value < target for value in before)
            height = np.interp(reached, x, values)
            assert height == pytest.approx(target, abs=1e-6) or reached == 0

    def test_a_target_is_reached_at_once_later_or_never(self):
        x, values = np.array([100, 200, 300]), np.array([1.0, 3.0, 2.0])
        assert first_reached(x, values, 0.5) == 100
        assert first_reached(x, values, 1.5) == 125
        assert first_reached(x, values, 3.5) is None

    def test_refuses_what_is_no_curve(self):
        with pytest.raises(ValueError, match="steps must increase"):
            area_under_curve(np.array([0, 0]), np.zeros(2))
        with pytest.raises(ValueError, match="values: point 1 is nan"):
            first_reached(np.arange(2), np.array([0.0, np.nan]), 1.0)
        with pytest.raises(ValueError, match="no curve"):
            first_reached(np.arange(0), np.zeros(0), 1.0)
        with pytest.raises(ValueError, match="one point"):
            area_under_curve(np.arange(1), np.zeros(1))
        with pytest.raises(ValueError, match="the target is nan"):
            first_reached(np.arange(2), np.zeros(2), np.nan)


FINE = [np.arange(3.0), np.arange(3.0)]
OF_ONE = {
    "iqm": iqm,
    "interval": interval,
    "profile": lambda scores: performance_profile(scores, THRESHOLDS),
    "profile_interval": lambda scores: profile_interval(scores, THRESHOLDS),
    "normalise": lambda scores: normalise(scores, 0.0, 1.0),
    "leader": lambda scores: leader({"a": scores}),
}
OF_TWO = {
    "improvement": probability_of_improvement,
    "improvement_interval": improvement_interval,
    "difference_interval": difference_interval,
}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", OF_ONE.values(), ids=OF_ONE)
def test_what_is_not_finite_is_refused_by_its_place(function, bad):
    with pytest.raises(ValueError, match=f"scores: environment 1, run 2 is {bad}"):
        function([np.zeros(2), np.array([0.0, 0.0, bad])])


@pytest.mark.parametrize("function", OF_ONE.values(), ids=OF_ONE)
def test_what_is_empty_is_refused(function):
    with pytest.raises(ValueError, match="of no environment"):
        function([])
    with pytest.raises(ValueError, match="environment 1 has no runs"):
        function([np.zeros(2), np.zeros(0)])


@pytest.mark.parametrize("function", OF_TWO.values(), ids=OF_TWO)
def test_of_two_studies_the_side_is_named(function):
    bad = [np.arange(3.0), np.array([np.nan])]
    with pytest.raises(ValueError, match="x: environment 1, run 0 is nan"):
        function(bad, FINE)
    with pytest.raises(ValueError, match="y: environment 1, run 0 is nan"):
        function(FINE, bad)
    with pytest.raises(ValueError, match="of no environment"):
        function([], [])


def test_scores_are_never_changed():
    scores = [np.array([3.0, 1.0, 2.0, 0.0])]
    interval(scores)
    normalise(scores, 0.0, 2.0)
    assert scores[0].tolist() == [3, 1, 2, 0]


def test_nothing_but_arrays_is_needed():
    assert "jax" not in vars(statistics)
