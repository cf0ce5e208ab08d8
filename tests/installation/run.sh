#!/usr/bin/env bash
# Installs the operator with the programs that people use, on a real API server, and sees it work; see docs/install.md.
#
#   run.sh [TEST…]   all tests, or some: test_rendering, test_installation.Releases
#
# What was built with cargo is taken from target/debug, or from where OPERATOR, SIMULATOR and CONTROL_PLANE say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
../control-plane/install.sh
./install.sh
export SERVER_GROUP_OPERATOR=${OPERATOR-} SERVER_GROUP_SIM=${SIMULATOR-} CONTROL_PLANE=${CONTROL_PLANE-}
(($#)) || set -- test_image test_rendering test_installation
# -B: no compiled files among the sources.
exec "${PYTHON:-python3}" -B -m unittest --failfast "$@"
