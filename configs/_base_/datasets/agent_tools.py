from mmengine.config import read_base

with read_base():
    from .sft import *

# Requests, calls, what the tools return, and answers, from a seed: xtune/demos/agent_tools.py
data_path = 'agent_tools'
val_data_path = 'agent_tools'
map_fn = 'openai'
prompt_template = 'chatml_tools'  # a line for each tool; SmolLM2's own has no place for them

# What chat's --lagent gives the model if the user names no tools: those of the rows. Noted with
# the adapter. A folder 'xtune:NAME' is one that xtune brings
agent_tools = dict(
    calculator=dict(), convert=dict(), date=dict(), timer=dict(),
    search=dict(folder='xtune:notes', count=1))

# What `xtune eval` measures, before and after; with every=500 the training does so too
evaluations = [
    dict(
        type='AgentEvaluation',
        data_path=data_path,
        split='held_out',
        tools=agent_tools,
        batch_size=40,
        max_turns=4,
        max_new_tokens=96)
]
