#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: beside a member of another make ours are as documented, message by message.
# Method: node 1 of three runs peer/peer.py on real corosync, which knows the published description
# only; after each scene its tree, its digests and its log must be equal to those of our two nodes.
# peer_long.sh has more scenes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/peer/peer.sh"
peer_up
scenes peer_changes our_changes status newer_peer quirks
finish
