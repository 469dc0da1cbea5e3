"""Measuring what a model has learnt, and showing it.

    evaluate.py     the way of a measurement: chosen.py finds the tasks, target.py the model
    tasks/          `Task` in base.py, and a file for each benchmark; published.py finds their files
    asking.py       what a task asks, answered and kept in store.py; prompts.py renders it
    scoring/        log-probabilities of candidates, the shared beginnings once
    instructions/, metrics/, tool_formats/  what tasks share
    results.py      rows and means; result_files.py writes them, comparison.py pairs them
    pages/          the report: page, picture, Markdown
    judge/          answers judged by a model: `xtune judge`

A new benchmark is a new file in tasks/ with a `Task` registered in EVALUATIONS.
"""
