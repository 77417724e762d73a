# What a newcomer types. Each target sets up what it needs; `make` alone lists them.

SONG := paper_lanterns
COMPOSER ?= full

.PHONY: help demo test format clean

help:
	@echo "make demo     set up, then play a piano cover of the example song into demo/"
	@echo "make test     set up, then check format, lint and types, and run all tests"
	@echo "make format   put the code in shape"
	@echo "make clean    remove the environment, the demo and all caches"

demo:
	@scripts/setup.sh
	@mkdir -p demo
	.venv/bin/sidekeys render examples/$(SONG).ogg -o demo/$(SONG).mid --composer $(COMPOSER) \
		--plot demo/$(SONG).png --mix demo/$(SONG)-mix.wav
	@echo
	@echo "The piano cover, for your DAW:            demo/$(SONG).mid"
	@echo "Its piano roll:                           demo/$(SONG).png"
	@echo "To listen (song left, piano right):       demo/$(SONG)-mix.wav"

test:
	@scripts/setup.sh dev,essentia
	@scripts/check.sh

format:
	@scripts/setup.sh dev,essentia
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean:
	rm -rf .venv demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
