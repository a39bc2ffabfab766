# make demo: everything the main job needs, then the main job. make test: everything the tests need, then the tests.
# Both make .venv, install in one go, and install again only when pyproject.toml or constraints.txt has changed.

VENV := .venv
INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
ENTER = PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
export PYTHON

.PHONY: demo test lint format types layers sizes protos coverage ci clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.installed
	$(ENTER) fedtailor simulate

test: $(VENV)/test.installed
	$(ENTER) pytest

$(VENV)/python.made:
	@python=$$(.ci/python) && $$python -m venv --clear $(VENV)
	@touch $@

# Editable, so that a change in the checkout is what runs next.
$(VENV)/demo.installed: pyproject.toml constraints.txt | $(VENV)/python.made
	@echo "installing fedtailor and its default data into $(VENV): a minute or two"
	$(INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/test.installed: pyproject.toml constraints.txt | $(VENV)/python.made
	@echo "installing fedtailor with every extra and the test tools into $(VENV): a minute or two"
	$(INSTALL) -e '.[demo,ray,postgres,test]'
	@touch $@ $(VENV)/demo.installed

lint: $(VENV)/test.installed
	$(ENTER) .ci/check lint

format: $(VENV)/test.installed
	$(VENV)/bin/ruff check --fix-only --quiet
	$(VENV)/bin/ruff format

types layers sizes: $(VENV)/test.installed
	$(ENTER) .ci/check $@

coverage: $(VENV)/test.installed
	$(ENTER) coverage run -m pytest
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

protos:
	.ci/protos

ci:
	.ci/run

clean:
	rm -rf $(VENV) build dist *.egg-info
