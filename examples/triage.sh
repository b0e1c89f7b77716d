#!/bin/sh
# Opens a ticket for every customer that a line of stdin finds. Safe to run again with the same lines on the
# same day: each ticket has a key made from its line, so a repeat is answered from the record.
#
#   printf 'acme\nnordic\n' | examples/triage.sh "Login is slow"
set -eu

title=${1:?"usage: triage.sh TITLE < QUERIES"}
day=$(date +%Y-%m-%d)

while IFS= read -r query; do
    [ -n "$query" ] || continue
    # One JSON object a customer. Numbers stand alone in them, so sed is enough to read one.
    toolctl -o json call search_customer --query "$query" |
        tr '{' '\n' | sed -n 's/.*"id": *\([0-9][0-9]*\).*/\1/p' |
        while read -r customer; do
            # </dev/null: the list of queries is not for toolctl.
            toolctl -o json call create_ticket \
                --customer-id "$customer" --title "$title" \
                --idempotency-key "triage-$day-$customer-$(printf %s "$title" | cksum | tr -d ' ')" </dev/null
            echo
        done
done
