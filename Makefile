# What a newcomer types. Each target sets up what it needs; `make` alone lists them.

SONG := paper_lanterns
COMPOSER ?= full

# For `make checkpoint`: the dataset's folder, where the run goes, and how large it is.
POP909 ?= POP909
RUN ?= run
TAKES ?= 1
STEPS ?= 19900
PROCESSES ?= 2

.PHONY: help demo test checkpoint format clean

help:
	@echo "make demo     set up, then play a piano cover of the example song into demo/"
	@echo "make test     set up, then check format, lint and types, and run all tests"
	@echo "make checkpoint POP909=FOLDER   train the default checkpoint into run/, and measure it"
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

checkpoint:
	@scripts/setup.sh
	.venv/bin/python -m sidekeys_engine.training render $(POP909) $(RUN)/windows --takes $(TAKES) \
		--processes $(PROCESSES)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv/bin/python -m sidekeys_engine.training fit \
		$(RUN)/windows $(RUN)/checkpoint --steps $(STEPS) --processes $(PROCESSES) --threads 1
	.venv/bin/python -m sidekeys_engine.training evaluate $(POP909) $(RUN)/figures $(RUN)/checkpoint

format:
	@scripts/setup.sh dev,essentia
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean:
	rm -rf .venv demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
