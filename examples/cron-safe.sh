#!/bin/sh
# A daily job that may run twice (a retry, two machines, an impatient operator) and has one effect a day:
# the date is part of the key.
#
#   5 6 * * *  /opt/examples/cron-safe.sh
set -eu

day=${DAY:-$(date +%Y-%m-%d)}

toolctl -o json call create_ticket \
    --customer-id 1 --title "Daily review of $day" --priority low \
    --idempotency-key "daily-review-$day"
