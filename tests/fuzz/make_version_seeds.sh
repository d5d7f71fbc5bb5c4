#!/bin/sh
# make_version_seeds.sh DIR - seeds for fuzz_version
exec "$(dirname "$0")/make_repo_seeds.sh" "$1" version
