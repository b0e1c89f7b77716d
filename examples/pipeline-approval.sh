#!/bin/sh
# A step of a pipeline that needs a person: it asks, goes on with other work, and then waits for the answer.
#
#   examples/pipeline-approval.sh CUSTOMER STATUS [HOW-LONG]
#
# Exit status 0: a person agreed and it was done. 6: a person said no. 8: nobody decided in HOW-LONG; the call
# still waits, and running the script again with the same RUN_ID goes on with it.
set -eu

customer=${1:?"usage: pipeline-approval.sh CUSTOMER STATUS [HOW-LONG]"}
status=${2:?"usage: pipeline-approval.sh CUSTOMER STATUS [HOW-LONG]"}
patience=${3:-30m}
key="pipeline-${RUN_ID:-$(date +%s)}-$customer"

# Asks. Exit status 8 means: it waits for people.
code=0
receipt=$(toolctl -o json call update_customer_status \
    --customer-id "$customer" --new-status "$status" \
    --idempotency-key "$key" --reason "pipeline ${RUN_ID:-without number}" --no-wait --receipt 2>&1) || code=$?
if [ "$code" -ne 8 ]; then
    printf '%s\n' "$receipt"
    exit "$code"
fi
call=$(printf '%s\n' "$receipt" | grep -o 'call_[0-9a-z]*' | head -n 1)
echo "waiting for people: toolctl approve $call" >&2

# ... other work goes here ...

# Waits. The exit status says how it ended; a deadline of ours (124) is told as 8: nothing is lost.
code=0
toolctl -o json --timeout "$patience" wait "$call" || code=$?
[ "$code" -ne 124 ] || code=8
exit "$code"
