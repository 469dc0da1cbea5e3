"""What says how good a sampled answer is: functions of answers, registered in REWARDS.

    exact_answer.py    it is the answer of the data
    number.py          its number is
    tool_call.py       its call is
    tool_result.py     its call, really made, gives what the data's call gives
    code_tests.py      its program passes the row's tests
    format.py          it has the form of a regular expression
    length.py          it comes near its limit
    reward_model.py    a reward model's score

One of your own takes the answers, and returns a number, or None, for each:

    def brevity(answers):
        return [-len(answer.text) / 100 for answer in answers]

    rewards = [dict(type=brevity), dict(type='my_rewards.py:politeness')]
"""
