"""A map_fn that takes its time, as the reading of a large corpus does."""

import time

from xtune.data.map_fns.openai import openai_map_fn


def slow_map_fn(row):
    time.sleep(0.5)
    return openai_map_fn(row)
