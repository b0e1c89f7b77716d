#!/bin/sh
# Goes on with every run of a workflow that is not over: after people have decided, after a reboot, after a terminal
# was closed. What was done is not done again, so it may run as often as you like.
#
#   * * * * *  /opt/examples/go-on.sh
set -eu

tab=$(printf '\t')
toolctl runs list --limit 1000 | while IFS=$tab read -r run _ state _ daemon; do
    # The daemon goes on by itself with those that are left to it.
    [ "$state" = open ] && [ -z "$daemon" ] || continue
    status=0
    toolctl run --run "$run" --no-wait </dev/null || status=$?
    # 8 waits for people: the next time is soon enough.
    [ "$status" -eq 0 ] || [ "$status" -eq 8 ] || echo "run $run: exit $status" >&2
done
