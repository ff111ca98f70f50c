#!/usr/bin/env bash
# Run both demonstrations and hold them to their expected verdicts. `stepzero` must be on PATH.
set -uo pipefail

announce() { printf '\n\033[1m%s\033[0m\n\n' "$1"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || announce() { printf '\n%s\n\n' "$1"; }

announce '1 of 2  demo/gpt2.py    GPT-2 as published: a sound start, so the check should pass (exit 0)'
stepzero check demo/gpt2.py:build
gpt2=$?

announce '2 of 2  demo/digits.py  a classifier with a planted bug: the check should find it (exit 1)'
stepzero check demo/digits.py:build
digits=$?

if [ "$gpt2" -eq 0 ] && [ "$digits" -eq 1 ]; then
  announce 'As expected: GPT-2 passed (exit 0), and the bug planted in digits was found (exit 1).'
  exit 0
fi
announce "Not as expected: GPT-2 ended with exit $gpt2 (expected 0), digits with exit $digits (expected 1)." >&2
exit 1
