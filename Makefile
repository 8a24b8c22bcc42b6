# Every command sets up .venv by itself, from constraints.txt. `make help` lists them.
PORT = 8000

# uv compiles nothing: what Python imports first, it compiles and keeps, or each start takes seconds
unexport PYTHONDONTWRITEBYTECODE

# An environment of your own, used as it is:  make site PYTHON=/path/to/python
PYTHON = .venv/bin/python
ifeq ($(origin PYTHON),file)
site_tools = python3 .ci/venv.py site
test_tools = python3 .ci/venv.py test
endif

ifneq ($(filter command%,$(origin page)),)
$(error it is called PAGE=, in capitals)
endif
ifneq ($(filter command%,$(origin PAGE)),)
ifeq ($(strip $(PAGE)),)
$(error PAGE= is empty: name a page, or leave it out)
endif
endif

# with none of the settings that ask for our test tools, and warnings of other libraries allowed
trl_tests = tests/trl --confcutdir tests/trl --override-ini addopts= --override-ini filterwarnings=default

.DEFAULT_GOAL := help
.PHONY: help serve site pdf test outputs studies trl soak bench renew clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:/ { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: ## train what is missing, build, and serve with live reload on 127.0.0.1 (PORT=8000)
	@$(site_tools)
	$(PYTHON) -m rlhf_explained serve --port $(PORT)

site: ## build the site, strictly, into site/
	@$(site_tools)
	$(PYTHON) -m rlhf_explained site

pdf: ## build the site with the whole guide as a PDF in it, printed by Chromium
	@$(site_tools)
	$(PYTHON) -m rlhf_explained pdf

test: ## check everything: format, lint, types, the site, all tests (PAGE=docs/index.md: one page, in seconds)
ifdef PAGE
	@$(site_tools)
	@$(PYTHON) -m rlhf_explained check "$(PAGE)"
else
	@$(test_tools)
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m pyright --pythonpath $(PYTHON)
	$(PYTHON) -m rlhf_explained site
	$(PYTHON) -m pytest --numprocesses auto --dist loadfile
endif

outputs: ## rewrite the Output blocks and doctest results in pages and docstrings (PAGE=: in one)
	@$(site_tools)
	$(PYTHON) -m rlhf_explained outputs $(if $(PAGE),"$(PAGE)")

studies: ## measure the sweeps over settings and seeds, on all cores (CLUSTER=tcp://…: of a Dask cluster)
	@$(test_tools)
	$(PYTHON) -m rlhf_explained studies $(if $(CLUSTER),--cluster "$(CLUSTER)")

trl: ## run the notebooks on TRL in an environment of their own, store their outputs, and test the equalities
	@$(site_tools)
	@python3 .ci/venv.py trl
	$(PYTHON) -m rlhf_explained trl
	.venv-trl/bin/python -m pytest $(trl_tests)

soak: ## run what is too long for every test run
	@$(test_tools)
	$(PYTHON) -m rlhf_explained site
	$(PYTHON) -m pytest -m soak --durations 0

bench: ## measure, and write bench.json
	@$(site_tools)
	$(PYTHON) -m tests.bench

renew: ## write constraints.txt anew, with the newest versions that fit, but torch's
	python3 .ci/venv.py renew

clean: ## remove everything that these commands made
	rm -rf .venv .venv-trl .cache site .site-new .site-old .site.lock bench.json
