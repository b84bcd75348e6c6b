# Two commands: make demo, make test. Packages that are missing are installed with apt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

RUN_PACKAGES  := python3-venv gcc libc6-dev musl-tools libnftables1 busybox-static mmdebstrap
TEST_PACKAGES := docker-registry skopeo nftables iproute2 libseccomp2 python3-seccomp erofs-utils \
                 curl util-linux procps xz-utils
BENCH_PACKAGES := docker.io containerd runc crun podman

.PHONY: demo test check bench install format clean

demo: install
	$(SUDO) $(BIN)/casemate run --rm hello
	$(SUDO) $(BIN)/casemate bootstrap debian
	$(SUDO) $(BIN)/casemate run --rm debian cat /etc/os-release

install: $(VENV)/.installed src/casemate/libexec/casemate-shim

$(VENV)/.installed: pyproject.toml scripts/packages
	scripts/packages $(RUN_PACKAGES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	scripts/packages $(TEST_PACKAGES)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

src/casemate/libexec/casemate-shim: $(wildcard shim/*.[ch]) shim/build.py | $(VENV)/.installed
	$(BIN)/python shim/build.py

check: $(VENV)/.dev install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# As root everything runs; otherwise the layers that touch the kernel skip, with the reason.
test: check
	$(BIN)/pytest

bench: $(VENV)/.dev install
	scripts/packages $(BENCH_PACKAGES)
	$(SUDO) $(BIN)/python bench/run

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist src/casemate/libexec
