"""Answers judged by a model: one against another, or each alone.

    answers.py          reads the files of answers, and finds the questions that files share
    prompts.py          what a judge is asked: prompts.json is ours, a user's own file is read
    forms.py            reads a verdict; tells answers that imitate one
    requests.py         every question that a judge is to be asked, in both orders
    open_judge.py       the judge by its name: remote_judge.py or local_judge.py; base.py: both
    ask.py              asks what is not yet known; verdict_store.py keeps each answer
    matches.py          both orders of a pair as one match; means, position bias
    elo.py              online Elo; bradley_terry.py: ratings; resampling.py: their intervals
    length_adjusted.py  the win rate at equal length
    results.py          all of it as results.json; table.py: Markdown; page.py: HTML
    single.py           `judge_single`: scores of single answers, for tasks

Nothing here but local_judge.py imports torch.
"""
