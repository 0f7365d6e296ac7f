"""What a pool holds beside the land, or beside another pool: shares, gaps, leaks, losses.

Every figure comes from one pass of tallies over the pool's batches
(:mod:`wherefrom.auditing.tally`), so a pool in memory and 10**9 places in files give the same. A
statistic is one file and one line of :data:`wherefrom.auditing.audit.STATISTICS`.
"""
