"""What says how good a sampled answer is: functions of answers, registered in REWARDS.

    exact_answer.py    it is the answer of the data
    tool_call.py       its call is the one of the data

One of your own takes the answers, and returns a number, or None, for each:

    def brevity(answers):
        return [-len(answer.text) / 100 for answer in answers]

    rewards = [dict(type=brevity), dict(type='my_rewards.py:politeness')]
"""
