#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal and method: those of it_16_peer.sh, with faults on either side; minutes. Not part of
# scripts/test.
#
#   peer_long.sh [SCENE...]    these scenes of peer/scenes.py, default: all
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/peer/peer.sh"
peer_up
if [ $# = 0 ]; then
    set -- peer_changes our_changes at_once older_peer newer_peer fresh_product fresh_peer status \
        ipc spoiled spoiled_and_asked silent_leader silent_member falling_back beyond_limits \
        restarts nonsense leader_dies leader_leaves quirks twins unfit
fi
scenes "$@"
finish
