"""How likely continuations are: what their contexts share is computed once.

layout.py   requests to rows, each the tree of what its texts begin with
passes.py   a row through the model: as one tree, with a cache, or one text after the other
scores.py   hidden states to log-probabilities, at the scored positions only
ways.py     which of these a model allows, found by asking it
budget.py   how long a row may be, and what is done when it was too long
scorer.py   all of it: `Scorer`, and `score_likelihoods` for one call
"""

from __future__ import annotations

from xtune.eval.scoring.scorer import Scorer, score_likelihoods

__all__ = ["Scorer", "score_likelihoods"]
