# The two commands: `make demo` opens the workbench on example incidents, `make test` proves everything.
# Both do their own set-up; a second run takes seconds.

PYTHON := .venv/bin/python

.PHONY: help setup demo run worker test test-servers

help:
	@echo "make demo     set up, load the example incidents, open the workbench"
	@echo "make test     set up and run every check and test"
	@echo "make test-servers  install Phoenix and MLflow beside, start them, read traces from them"
	@echo "make setup    only make .venv ready for manage.py"
	@echo "make run      web server on your own data (DATABASE_URL, SITE_URL, HOST, PORT; see README)"
	@echo "make worker   background worker on the same data"

setup:
	@python=$$(sh tools/find_python.sh) && "$$python" tools/setup.py

demo: setup
	@exec $(PYTHON) tools/demo.py

run: setup
	@exec $(PYTHON) tools/serve.py

worker: setup
	@exec $(PYTHON) manage.py work

test:
	@python=$$(sh tools/find_python.sh) && "$$python" tools/setup.py --tests --strict
	@exec $(PYTHON) tools/run_tests.py

test-servers:
	@python=$$(sh tools/find_python.sh) && "$$python" tools/setup.py --tests
	@exec $(PYTHON) tools/test_servers.py
