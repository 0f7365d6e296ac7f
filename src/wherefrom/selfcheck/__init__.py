"""Generated worlds with planted truth, on which the whole instrument is tried."""
