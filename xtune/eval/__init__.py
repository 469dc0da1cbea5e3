"""Measuring what a model has learnt, and showing it.

    toolcall.py     ToolCallEvaluation: exact tool calls on held-out requests
    call_match.py   whether an answer is the expected call
    tool_benchmark.py  tool calls on benchmarks' rows; tool_formats/ reads them
    tool_answer.py  tells the tools, reads the calls; tool_match.py compares them
    result.py       rows and rates
    report.py       results.json, report.png, report.html of a run, before and after
    judge/          answers judged by a model: `xtune judge`
    page.py         the page; page.css its looks; picture.py the PNG; loss_curve.py its data

A new evaluation is a new file here with a class registered in EVALUATIONS, whose
`run(llm, tokenizer, ...)` returns an EvaluationResult.
"""
