"""Losses of pairs and of judged answers: pure functions of log-probabilities and lengths.

pair.py           `PairTerms`, what a loss is given, and `PairLoss`, what it is
reference.py      held against a reference model: DPO and its kin
free.py           without a reference: CPO, SimPO, ORPO
weighted.py       a sum of some of them
unpaired.py       of answers that are judged one by one: KTO and APO-zero
"""

from __future__ import annotations

from xtune.losses.preference.pair import PairLoss, PairTerms
from xtune.losses.preference.unpaired import UnpairedLoss, UnpairedTerms

__all__ = ["PairLoss", "PairTerms", "UnpairedLoss", "UnpairedTerms"]
