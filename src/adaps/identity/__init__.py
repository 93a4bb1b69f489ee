"""Which agents are alike: gather, encode, predict, cluster. Stage: identity."""
