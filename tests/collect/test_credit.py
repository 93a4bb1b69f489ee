"""Returns and credit of agents that die, join late, pause, and are paid while they are away."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from adaps.algos.returns import n_step_returns
from adaps.collect.host import HostCollector
from adaps.collect.jax import JaxCollector
from adaps.envs import from_pettingzoo
from cores import agent_of, full, network_of, params_of
from scripted import MOST, NAMES, TERMINATED, TRUNCATED, InJax, InPython, Script

EARLIER, NUM_STEPS, DISCOUNT, AGENTS = 4, 11, 0.5, len(NAMES)
UNUSED = network_of(AGENTS, 1, 2)
PARAMS, SHARING = params_of(UNUSED), full(UNUSED)


class Sum(NamedTuple):
    """A network that expects the sum of all that an agent saw in its part, or what it sees now."""

    remembers: bool

    def actor(self, weights, memory, observation, first):
        seen = observation.obs[..., 0]
        return (jnp.where(first, 0.0, memory) + seen if self.remembers else memory), seen

    def critic(self, weights, memory, observation, first):
        return memory, memory if self.remembers else observation.obs[..., 0]


NETWORKS = {"remembers": Sum(True), "sees": Sum(False)}


@partial(jax.jit, static_argnums=0)
def credit(network, rollout):
    """What an agent's actions are credited with, as a learner reckons."""
    next_value = agent_of(network).next_values(PARAMS, SHARING, rollout)
    ends = rollout.ends
    return n_step_returns(rollout.reward, next_value, ends.terminated, ends.truncated, DISCOUNT)


def always(distribution, key):
    return jnp.zeros(distribution.shape, jnp.int32)


POLICY = agent_of(NETWORKS["remembers"]).policy(PARAMS, SHARING, always)
POLICY_IN_PYTHON = jax.jit(POLICY)


@jax.jit
def played_in_jax(script):
    collector, nothing = JaxCollector(InJax(script)), jnp.zeros((1, AGENTS))
    position = collector.start(jax.random.key(0), 1, nothing)
    position, _ = collector.collect(POLICY, position, EARLIER)
    _, rollout = collector.collect(POLICY, position, NUM_STEPS)
    return rollout, collector.play(POLICY, jnp.arange(1), nothing).returns[0]


def played_in_python(script):
    copies = from_pettingzoo(lambda: InPython(script), name="scripted").open(1, 0)
    collector, nothing = HostCollector(lambda number: copies, MOST), np.zeros((1, AGENTS))
    position = collector.start(jax.random.key(0), 1, nothing)
    position, _ = collector.collect(POLICY_IN_PYTHON, position, EARLIER)
    _, rollout = collector.collect(POLICY_IN_PYTHON, position, NUM_STEPS)
    return rollout, collector.play(POLICY_IN_PYTHON, np.arange(1), nothing).returns[0]


def looped(script):
    """What each agent is paid in one episode of the raw environment."""
    env, total = InPython(script), dict.fromkeys(NAMES, 0.0)
    env.reset()
    while env.agents:
        _, rewards, *_ = env.step(dict.fromkeys(env.agents, 0))
        for name, reward in rewards.items():
            total[name] += reward
    return list(total.values())


def textbook(script, network):
    """``G = Σ γᵏ·r_{t+k} + γⁿ·V`` of each action of an agent in turn, by plain loops."""
    found = np.full((NUM_STEPS, AGENTS), np.nan)
    for agent in range(AGENTS):
        for step in range(NUM_STEPS):
            if script.here[(EARLIER + step) % script.length, agent]:
                found[step, agent] = credit_of(script, network, agent, EARLIER + step)
    return found


def credit_of(script, network, agent, start):
    total = 0.0
    for number in range(start, EARLIER + NUM_STEPS):
        time = number % script.length
        total += DISCOUNT ** (number - start) * script.reward[time, agent]
        end, over = script.flag[time, agent], time == script.length - 1
        if not end and over:
            end = TRUNCATED if (script.flag[time] == TRUNCATED).any() else TERMINATED
        if end == TERMINATED:
            return total
        if end == TRUNCATED:
            break
    return total + DISCOUNT ** (number - start + 1) * value_after(script, network, agent, number)


def value_after(script, network, agent, number):
    """V of what an agent was given after a step, or else of what it last acted on."""
    time = number % script.length
    acted = [t for t in range(time + 1) if script.here[t, agent]]
    is_out = time == script.length - 1 or script.flag[time, agent]
    seen = [script.obs[t, agent] for t in acted]
    if not is_out and script.here[time + 1, agent]:
        seen.append(script.obs[time + 1, agent])
    elif is_out and acted[-1] == time:
        shown = script.flag[time, agent] == TRUNCATED or script.seen[time, agent]
        seen.append(script.obs[time + shown, agent])
    return sum(seen) if network.remembers else seen[-1]


def rows(entries, count):
    """``count`` rows of an entry for each agent."""
    row = st.lists(entries, min_size=AGENTS, max_size=AGENTS)
    return st.lists(row, min_size=count, max_size=count).map(np.array)


@st.composite
def scripts(draw):
    """The first agent stays to the end, and acts where nobody else does."""
    length = draw(st.integers(1, MOST))
    time = np.arange(MOST)[:, None]
    (join, leave), last = draw(rows(st.integers(0, MOST), 2)), draw(rows(st.integers(0, 2), 1))[0]
    leave[0] = MOST
    here = ~draw(rows(st.booleans(), MOST)) & (join <= time) & (time <= leave)
    here[~here.any(axis=1), 0] = True
    joined = np.cumsum(here, axis=0) > 0
    early = draw(rows(st.sampled_from([TERMINATED, TRUNCATED]), 1))[0]
    flag = np.where(time == leave, early, 0)
    flag = np.where((time == length - 1) & (time <= leave), last, flag) * joined
    flag[length:] = 0
    return Script(
        length=length,
        here=here,
        flag=flag,
        reward=draw(rows(st.integers(-2, 3), MOST)).astype(np.float32),
        obs=draw(rows(st.integers(1, 99), MOST + 1)).astype(np.float32),
        seen=draw(rows(st.booleans(), MOST)),
    )


@settings(max_examples=50, deadline=None)
@given(script=scripts())
def test_every_reward_counts_and_reaches_the_action_that_it_belongs_to(script):
    expected = looped(script)
    for played in (played_in_python, played_in_jax):
        rollout, returns = played(script)
        np.testing.assert_array_equal(returns, expected)
        acted = np.asarray(rollout.observation.here)[:, 0]
        for network in NETWORKS.values():
            seen = rollout if network.remembers else rollout._replace(memory=())
            found = np.where(acted, credit(network, seen)[:, 0], np.nan)
            np.testing.assert_allclose(found, textbook(script, network), rtol=1e-5)
