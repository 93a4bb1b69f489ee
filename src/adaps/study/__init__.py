"""Many runs with one question: what to run, where, and what is already done. Stage: study."""

from adaps.files.schema import Variant
from adaps.study.execute import carry_out
from adaps.study.plan import Study, of_methods, of_values

__all__ = ["Study", "Variant", "carry_out", "of_methods", "of_values"]
