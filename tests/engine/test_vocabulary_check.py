"""A tokenizer with more ids than the embedding has rows."""

from __future__ import annotations

import json
import logging

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.config import render
from xtune.config.recipe import recipe_of
from xtune.engine.vocabulary_check import require_rows
from xtune.errors import ModelError


class Data:
    def __init__(self, largest):
        self.largest = largest

    def largest_id(self):
        return self.largest


@pytest.fixture
def run(tmp_path):
    """A tokenizer whose last token is 'What is', and a config with a row less than it needs."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens("What is")
    last = len(tokenizer) - 1
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": last}))
    chosen = [f"pretrained_model_name_or_path={tmp_path}"]
    return recipe_of(render("custom_sft_lora", chosen).values), tokenizer, last


def test_a_token_of_the_data_without_a_row_is_refused(run):
    recipe, tokenizer, last = run
    with pytest.raises(ModelError, match=f"has {last} rows, and the data use 'What is'") as caught:
        require_rows(recipe, tokenizer, {}, Data(5), None, Data(last))
    assert "added_tokens" in str(caught.value)
    assert "expand-vocab" in str(caught.value)


def test_one_that_no_row_uses_is_said(run, caplog):
    recipe, tokenizer, last = run
    with caplog.at_level(logging.WARNING, "xtune"):
        require_rows(recipe, tokenizer, {}, Data(last - 1), None)
    assert "The data use none of them" in caplog.text


def test_tokens_that_the_sheet_adds_get_their_rows(run, caplog):
    recipe, tokenizer, last = run
    require_rows(recipe, tokenizer, {last: [1, 2]}, Data(last))
    assert not caplog.records
