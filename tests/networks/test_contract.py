"""Networks that remember, and actions that are real numbers, need nothing changed elsewhere."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.diversity import behaviour_distance
from adaps.collect.evaluate import random_return
from adaps.collect.host import HostCollector, from_checkpoint, to_checkpoint
from adaps.collect.jax import JaxCollector, uniform
from adaps.files.checkpoint import from_arrays, to_arrays
from adaps.identity import gathering
from adaps.networks.agent import both_ways, greedy, sampled
from adaps.networks.weights import count_params
from adaps.sharing import METHODS
from adaps.sharing.masks import summary
from adaps.sharing.method import hooks_of, num_params
from adaps.types import Box, Copies, Identity, Network, NetworkShape, action_space_of
from cores import agent_of, params_of
from other_networks import GRU, Gaussian, Trunk
from probes import Probe, what_is_seen

COPIES, STEPS = 4, 7
KEY = jax.random.key(0)


def near_half(obs, action, time):
    """The best is half of what is seen, twice."""
    return -jnp.square(action - obs[:, None] / 2).sum(-1)


class Reach(Probe):
    """Actions are two real numbers."""

    action_space = Box(2, -1.0, 1.0)

    def _timestep(self, state, reward):
        now = super()._timestep(state, reward)
        return now._replace(
            observation=now.observation._replace(legal=None), final=now.final._replace(legal=None)
        )


LIMITED = {"max_steps": 3, "agent_types": (0, 1, 1), "terminates": False}
CASES = {
    "remembers": (Probe("seen", what_is_seen, **LIMITED), GRU()),
    "real numbers": (Reach("reach", near_half, **LIMITED), Gaussian()),
}
SHARED = {"shares its memory": (CASES["remembers"][0], Trunk())}
each_case = pytest.mark.parametrize(("env", "options"), CASES.values(), ids=CASES)

shared_too = pytest.mark.parametrize(
    ("env", "options"), (CASES | SHARED).values(), ids=CASES | SHARED
)


class InPython:
    """Copies of an environment in JAX that are stepped as those in Python are."""

    def __init__(self, env, num_copies):
        self.env, self.num_copies = env, num_copies

    def reset(self, seeds):
        self._keys = jax.vmap(jax.random.key)(jnp.array(seeds))
        self._state, timestep = jax.vmap(self.env.reset)(self._keys)
        return jax.device_get(timestep)

    def step(self, action):
        self._keys = jax.vmap(partial(jax.random.fold_in, data=1))(self._keys)
        self._state, timestep = jax.vmap(self.env.step)(self._keys, self._state, action)
        return jax.device_get(timestep)

    def picture(self):
        return None

    def close(self):
        pass


def collector_in_python(env):
    return HostCollector(partial(InPython, env), env.max_steps)


COLLECTORS = {"jax": JaxCollector, "python": collector_in_python}
each_collector = pytest.mark.parametrize("collector_of", COLLECTORS.values(), ids=COLLECTORS)


def assert_close(ours, theirs):
    """Refuse trees whose leaves are not nearly equal."""
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def network_of(env, options):
    shape = NetworkShape(env.num_agents, env.obs_size, action_space_of(env), (6,))
    return options.build(shape)


@lru_cache
def team_of(env, options, method=adaps.NoPS()):  # noqa: B008
    """An agent, its parameters and how they are shared: by default a set for each agent."""
    network = network_of(env, options)
    clusters, centres = np.array(env.agent_types), np.array([[0.0, 1.0], [1.0, -1.0]])
    identity = Identity(centres[clusters], clusters, centres, {})
    sharing = method.build(KEY, network, identity)
    return agent_of(network, hooks_of(method)), params_of(network, sharing, method), sharing


@lru_cache
def collected(env, options, collector_of=JaxCollector):
    """A rollout of more than two episodes, and what comes after it."""
    agent, params, sharing = team_of(env, options)
    if collector_of is JaxCollector:
        return in_jax(JaxCollector(env), agent, params, sharing)
    return from_start(collector_of(env), jax.jit(agent.policy(params, sharing)), agent)


def from_start(collector, policy, agent):
    return collector.collect(policy, collector.start(KEY, COPIES, agent.memory(COPIES)), STEPS)


@partial(jax.jit, static_argnums=(0, 1))
def in_jax(collector, agent, params, sharing):
    return from_start(collector, agent.policy(params, sharing), agent)


@partial(jax.jit, static_argnums=(0, 1))
def further(collector, agent, params, sharing, position):
    return collector.collect(agent.policy(params, sharing), position, STEPS)


@partial(jax.jit, static_argnums=0)
def unroll(agent, params, sharing, rollout):
    return agent.unroll(params, sharing, rollout)


@partial(jax.jit, static_argnums=0)
def updated(agent, params, sharing, rollout):
    """Parameters after an update, and its metrics."""
    learner = adaps.A2C().init(KEY, agent, params)
    learner, metrics = adaps.A2C().update(KEY, agent, learner, sharing, rollout)
    return learner.params, metrics


@each_case
def test_the_networks_are_networks(env, options):
    network = network_of(env, options)
    assert isinstance(network, Network)
    assert isinstance(InPython(env, 1), Copies)
    assert isinstance(env, adaps.Environment)
    assert hash(network) == hash(network_of(env, options))


@each_case
@each_collector
def test_rollouts_are_collected_and_learned_from(env, options, collector_of):
    agent, params, sharing = team_of(env, options)
    position, rollout = collected(env, options, collector_of)
    assert rollout.reward.shape == rollout.first.shape == (STEPS, COPIES, 3)
    jax.tree.map(np.testing.assert_array_equal, rollout.memory, agent.memory(COPIES))
    assert jax.tree.structure(position.memory) == jax.tree.structure(rollout.memory)
    time = np.arange(STEPS) % env.max_steps
    begins, ends = time == 0, time == env.max_steps - 1
    np.testing.assert_array_equal(np.asarray(rollout.first).all(axis=(1, 2)), begins)
    np.testing.assert_array_equal(np.asarray(rollout.first).any(axis=(1, 2)), begins)
    np.testing.assert_array_equal(rollout.truncated[:, 0], ends)
    if isinstance(action_space_of(env), Box):
        assert rollout.action.shape == (STEPS, COPIES, 3, 2)
        assert len(np.unique(rollout.action)) == rollout.action.size

    after, metrics = updated(agent, params, sharing, rollout)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(a != b), after, params)))


@shared_too
def test_unrolling_is_acting_step_by_step(env, options):
    agent, params, sharing = team_of(env, options)
    before, _ = collected(env, options)
    position, rollout = further(JaxCollector(env), agent, params, sharing, before)
    unrolled = unroll(agent, params, sharing, rollout)
    act = jax.jit(agent.policy(params, sharing, choose=lambda distribution, key: distribution))
    memory = before.memory
    for t in range(STEPS):
        seen = jax.tree.map(lambda x, t=t: x[t], rollout.observation)
        memory, distribution = act(KEY, memory, seen, rollout.first[t])
        ours = jax.tree.map(lambda x, t=t: x[t], unrolled.distribution)
        assert_close(ours, distribution)
    assert_close(memory, position.memory)


@shared_too
def test_next_values_are_those_of_a_step_further(env, options):
    agent, params, sharing = team_of(env, options)
    _, rollout = collected(env, options)
    found = np.asarray(jax.jit(agent.next_values)(params, sharing, rollout))
    value = np.asarray(unroll(agent, params, sharing, rollout).value)
    within = ~np.asarray(rollout.truncated[:-1, 0])
    if agent.memory(1) != ():  # elsewhere only what returns bootstrap from is computed
        np.testing.assert_allclose(found[:-1][within], value[1:][within], rtol=1e-5, atol=1e-6)
    # What follows the end of an episode is not the beginning of the next.
    obs_alone = rollout._replace(observation=rollout.final, first=jnp.ones_like(rollout.first))
    alone = np.asarray(unroll(agent, params, sharing, obs_alone).value)
    same = np.isclose(found[:-1][~within], alone[:-1][~within], rtol=1e-5)
    assert same.all() if agent.memory(1) == () else not same.any()


def test_memory_is_forgotten_where_an_episode_begins_and_nowhere_else():
    env, options = CASES["remembers"]
    agent, params, sharing = team_of(env, options)
    _, rollout = collected(env, options)
    noise = rollout.observation.obs.at[0].add(1.0)  # only the first episode's first step
    other = rollout._replace(observation=rollout.observation._replace(obs=noise))
    one, two = (unroll(agent, params, sharing, r) for r in (rollout, other))
    changed = np.asarray(one.distribution.logits != two.distribution.logits).any(-1)
    assert changed[: env.max_steps].all()
    assert not changed[env.max_steps :].any()


@each_case
@each_collector
def test_episodes_are_played(env, options, collector_of):
    agent, params, sharing = team_of(env, options)
    collector = collector_of(env)
    array = np.array if isinstance(collector, HostCollector) else jnp.array

    def play(policy, numbers):
        played = collector.play(jax.jit(policy), array(numbers), agent.memory(len(numbers)))
        return np.asarray(played.returns)

    numbers = list(range(COPIES))
    best, drawn, both = (
        play(agent.policy(params, sharing, choose), which)
        for choose, which in ((greedy, numbers), (sampled, numbers), (both_ways, 2 * numbers))
    )
    assert best.shape == drawn.shape == (COPIES, 3)
    np.testing.assert_allclose(both[:COPIES], best, rtol=1e-5)
    assert (both[COPIES:] != best).any()
    assert (drawn != best).any()
    assert (play(uniform(action_space_of(env)), numbers) != best).any()


@each_case
def test_random_play_has_a_return(env, options):
    assert np.isfinite(random_return(env))


@each_case
@each_collector
@pytest.mark.parametrize("name", gathering.GATHER_POLICIES)
def test_transitions_are_gathered(env, options, collector_of, name):
    agent, params, sharing = team_of(env, options)
    collector, space = collector_of(env), action_space_of(env)
    plan = gathering.Plan(copies=32, length=2, rounds=1)
    policy = gathering.GATHER_POLICIES[name](agent.policy(params, sharing), uniform(space))
    state = gathering.begin(collector, env, plan, KEY, agent.memory(32))
    add = jax.jit(gathering.accumulating(agent.network.shape, plan))
    state = gathering.one_round(collector, add, plan, jax.jit(policy), state)
    gathering.check_finite(env, state.gathered)
    actions = np.asarray(state.gathered.common.given[..., env.obs_size :])
    assert actions.shape[-1] == 2
    if not isinstance(space, Box):
        np.testing.assert_array_equal(np.sort(actions, -1), np.broadcast_to([0, 1], actions.shape))
    else:
        assert len(np.unique(actions)) == actions.size
        assert (np.abs(actions).max() <= 1) == (name == "random")


@each_case
def test_rewards_of_random_play_are_looked_at(env, options):
    assert not gathering.rewards_are_rare(env)


@each_case
def test_positions_in_jax_are_kept_whole(env, options):
    agent, params, sharing = team_of(env, options)
    collector = JaxCollector(env)
    position, _ = collected(env, options)
    kept = to_arrays(to_checkpoint(position))
    begun = collector.start(jax.random.key(1), COPIES, agent.memory(COPIES))
    restored = from_checkpoint(begun, from_arrays(to_checkpoint(begun), kept))
    ours, theirs = (further(collector, agent, params, sharing, p) for p in (position, restored))
    same = jax.tree.map(lambda a, b: np.array_equal(*map(plain, (a, b))), ours, theirs)
    assert all(jax.tree.leaves(same))


def plain(x):
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


@each_case
def test_of_positions_in_python_the_key_is_kept(env, options):
    agent, params, sharing = team_of(env, options)
    collector = collector_in_python(env)
    position, _ = collected(env, options, collector_in_python)
    kept = to_checkpoint({"position": position, "other": jnp.ones(2)})
    begun = {"position": collector.start(KEY, COPIES, agent.memory(COPIES)), "other": jnp.zeros(2)}
    restored = from_checkpoint(begun, from_arrays(kept, to_arrays(kept)))
    np.testing.assert_array_equal(restored["other"], 1.0)
    now = restored["position"]
    assert now.first.all()
    jax.tree.map(np.testing.assert_array_equal, now.memory, agent.memory(COPIES))
    _, rollout = collector.collect(jax.jit(agent.policy(params, sharing)), now, STEPS)
    assert np.isfinite(rollout.reward).all()


@each_case
def test_distances_between_agents(env, options):
    def distance(method):
        agent, params, sharing = team_of(env, options, method)
        params = jax.tree.map(lambda x: 3 * x, params)
        position, _ = collected(env, options)
        seen, memory = position.timestep.observation, agent.memory(COPIES)
        compiled = jax.jit(behaviour_distance, static_argnums=0)
        return np.asarray(compiled(agent, params, sharing, seen, memory))

    apart = distance(adaps.NoPS())
    np.testing.assert_allclose(apart, apart.T, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(apart), 0, atol=1e-3)
    assert (apart[~np.eye(3, dtype=bool)] > 1e-2).all()
    assert (apart <= 1).all()
    np.testing.assert_allclose(distance(adaps.FuPS()), 0, atol=1e-3)


@each_case
@pytest.mark.parametrize("name", METHODS)
def test_every_sharing_method_shares_them(env, options, name):
    method = METHODS[name]()
    agent, params, sharing = team_of(env, options, method)
    assert set(sharing.masks) == set(agent.network.units)
    assert set(summary(sharing.masks)) == {"actor", "critic"}
    assert num_params(method, agent.network, sharing) == count_params(params)
    _, rollout = collected(env, options)
    after, _ = updated(agent, params, sharing, rollout)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(a != b), after, params)))


@each_case
def test_units_that_no_one_owns_are_not_trained(env, options):
    agent, params, sharing = team_of(env, options, adaps.FuPS())
    unit = f"actor/{agent.network.unit}"
    some = jnp.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    masked = sharing._replace(masks=sharing.masks | {unit: sharing.masks[unit] * some})
    _, rollout = collected(env, options)
    after, _ = updated(agent, params, masked, rollout)
    none, before, after = np.asarray(some) == 0, params.sets.actor.last, after.sets.actor.last
    np.testing.assert_array_equal(before.weight[0][none], after.weight[0][none])
    assert (before.weight[0][~none] != after.weight[0][~none]).all()


@each_case
def test_a_run_trains_saves_and_acts(env, options, tmp_path):
    out = tmp_path / "run"
    result = adaps.train(
        env,
        "seps",
        network=options,
        encoder=adaps.VAE(updates=5),
        steps=4_000,
        gather_steps=640,
        seeds=1,
        hidden=(6,),
        evaluations=1,
        eval_episodes=4,
        out=out,
    )
    assert np.isfinite(result.return_mean)
    own, loaded = result.policies[0], adaps.load(out)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, own.params)
    memory = own.memory(COPIES)
    seen = JaxCollector(env).start(KEY, COPIES, memory).timestep.observation
    first = jnp.ones((COPIES, 3), bool)
    for key in (None, KEY):
        now, action = loaded.step(memory, seen.obs, key, seen.legal, first)
        policy = own.agent.policy(own.params, own.sharing, sampled if key is not None else greedy)
        expected = policy(KEY, memory, seen, first)
        assert_close((now, action), expected)
    if jax.tree.leaves(memory):
        with pytest.raises(adaps.UserError, match="use step"):
            loaded.act(seen.obs)
    else:
        assert_close(loaded.act(seen.obs, KEY), action)
