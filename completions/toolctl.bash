source <(COMPLETE=bash toolctl)
