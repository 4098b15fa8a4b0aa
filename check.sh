#!/usr/bin/env bash
# What a change must pass before it is merged: format, build, tests (the simulation's seeds among them), then the size report.
# SEEDS=N ./check.sh runs N seeds of the simulation instead of the default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

step() { printf '\n== %s\n' "$1"; }

step format
dotnet format --verify-no-changes

step "build (warnings are errors)"
dotnet build --verbosity quiet

step "test, with the simulation's seeds"
# The simulation's tests read the number of seeds from WEIR_SEEDS and have a default without it.
${SEEDS:+env "WEIR_SEEDS=$SEEDS"} dotnet test --no-build

step "sizes (a smell, not a score: nothing fails here)"
eng/size-report
