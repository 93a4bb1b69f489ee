"""Environments that run in Python, in processes of their own. Stage: environment.

Everything here needs the extra ``pettingzoo`` and is imported when it is used.
"""
