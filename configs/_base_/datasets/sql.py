from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'b-mc2/sql-create-context'
map_fn = 'sql'
SYSTEM = 'You are an expert in SQL. Answer the question with one query over the given tables.'
evaluation_inputs = [
    'CREATE TABLE head (age INTEGER)\nHow many heads of the departments are older than 56?']
