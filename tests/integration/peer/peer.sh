# SPDX-License-Identifier: Apache-2.0
# A lab with a member of another make; after lib.sh.
#
#   peer_up            nodes 2 and 3 run ours, node 1 runs peer.py
#   scenes SCENE...    one case each

PEER=$TOP/tests/integration/peer

peer_up()
{
    QUORATE_PROGRAMS=$(build_dir)
    export QUORATE_PROGRAMS
    need corosync python3 "$QUORATE_PROGRAMS/pmxcfs/pmxcfs"
    lab_up -n 3 --daemons corosync
    for n in 2 3; do
        check "our node $n starts" lab start "$n" pmxcfs
    done
    check 'the other one starts' "$PEER/scenes.py" "$LAB_NAME" "$WORK" start
}

scenes()
{
    local scene
    for scene in "$@"; do
        check "$scene" "$PEER/scenes.py" "$LAB_NAME" "$WORK" "$scene"
    done
}
