# SPDX-License-Identifier: Apache-2.0
# What tests of making, joining and leaving clusters share; after lib.sh.
#
#   on NODE COMMAND           runs it on the node
#   start_api NODE [DAEMON]   the join service and the API, or these daemons; waits for port 8006
#   token [ARGS]              a token to join the cluster of node 1
#   expects_votes N           what node 1 says of its cluster
#   refused_saying TEXT CMD   the command fails, with this text
#   must 'claim' CMD          a case that all later ones stand on
#
# BUILD is the build directory.

BUILD=$(build_dir)
need corosync ip nsenter
need "$BUILD/pmxcfs/pmxcfs" "$BUILD/cli/pvecm" "$BUILD/api/quorate-api"
need "$BUILD/quorum/quorate-joind"

on()
{
    local node=$1
    shift
    lab exec "$node" -- sh -c "cd /; $*"
}

start_api()
{
    local node=$1 daemon
    shift
    [ $# -gt 0 ] || set -- joind api
    for daemon; do
        lab start "$node" "$daemon" || return 1
    done
    within 60 on "$node" "ss -Htln 'sport = 8006' | grep -q 8006"
}

token()
{
    on 1 "pvecm token $*"
}

expects_votes()
{
    equal "$(on 1 'pvecm status --output-format json' |
        python3 -c "import json,sys; print(json.load(sys.stdin)['expected_votes'])")" "$1"
}

refused_saying()
{
    local text=$1 out
    shift
    out=$("$@" 2>&1) && { echo "succeeded: $out"; return 1; }
    echo "$out"
    case $out in *"$text"*) return 0 ;; esac
    return 1
}

must()
{
    check "$@"
    [ "$FAILED" = 0 ] || finish
}
