#!/bin/sh
# Begins a run of a workflow a day and leaves it to the daemon, which drives it until it is over, however long people
# take and however often the machine is started again. The date is the run's name, so that a second start (a retry, an
# impatient operator) is the same run.
#
#   5 6 * * *  /opt/examples/cron-workflow.sh /opt/flows/review.toml
set -eu

file=${1:?"usage: cron-workflow.sh FILE [NAME=VALUE…]"}
shift
day=${DAY:-$(date +%Y-%m-%d)}
name=$(basename "$file" | sed 's/\.[a-z]*$//')

# Each NAME=VALUE behind the file is an input.
for pair in "$@"; do
    set -- "$@" --input "$pair"
    shift
done
exec toolctl run "$file" "$@" --run "$name-$day" --detach
