"""What a reward model makes of answers: how often it is right, how sure, and whether it is length.

scored.py     `ScoredAnswer`, and the pairs of a prompt's answers
measures.py   accuracy, calibration, lengths: pure numbers
picture.py    scores.png
page.py       report.html
report.py     writes them, results.json and scores.jsonl
"""
