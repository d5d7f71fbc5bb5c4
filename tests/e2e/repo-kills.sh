#!/bin/bash
# Some dozens of kills; thousands are in tests/long/repo-kills.sh.
KILLS=${KILLS:-40} exec "$(dirname "$0")/../long/repo-kills.sh"
