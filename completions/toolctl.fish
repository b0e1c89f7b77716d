COMPLETE=fish toolctl | source
