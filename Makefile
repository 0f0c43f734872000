# Every target sets up .venv/ by itself; the second time that costs nothing.
# `make run PYTHON=python3.12` chooses another interpreter for a new .venv/.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: run app lint types ptx test docs help

run: $(READY)   ## draw four prompts with emoji-sd, then edit one: pictures, sheets, heat maps, receipt and JSON in out/
	@mkdir -p out
	$(BIN)/attention-studio generate --model emoji-sd --seed 1 --json \
	  --prompt "a cat on grass" \
	  --prompt "a blue balloon above a house at sunset" \
	  --prompt "a green frog next to a crown on the beach" \
	  --prompt "a big yellow star at night, watercolour" \
	  > out/run.json
	$(BIN)/attention-studio edit --model emoji-sd --seed 1 --json \
	  --prompt "a cat on grass" --to "a dog on grass" --blend cat --words cat,dog \
	  > out/edit.json
	@echo "The same as JSON: out/run.json, out/edit.json"

app: $(READY)   ## open the app in the browser, on this machine only
	$(BIN)/attention-studio app

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict, on the package as it will be installed
	@rm -rf build/types && mkdir -p build/types/attention_studio
	@cd build/types/attention_studio && ln -s ../../../studio/* ../../../kernels ../../../pipelines ../../../processors .
	MYPYPATH=build/types $(BIN)/mypy -p attention_studio

ptx: $(READY)   ## compile every GPU kernel (no GPU needed), compare with the record; REFRESH=1 writes it
	env -u TRITON_INTERPRET $(BIN)/python -m attention_studio.kernels.ahead \
	  --record benchmarks/results/ahead_of_time.csv --commit "$$(git describe --always --dirty=+)" \
	  $(if $(REFRESH),--refresh)

test: $(READY)  ## pytest, on the CPU: two processes of one thread each
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

docs: $(READY)  ## write docs/help.md from the live command line, docs/capabilities.md from trying every pair
	$(BIN)/python docs/make_help.py
	$(BIN)/python -m tests.processors.capabilities > docs/capabilities.md
	$(BIN)/python docs/make_matrix.py

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
