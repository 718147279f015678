"""Worker processes: how they are started, spoken to, watched and ended.

`pool` hands out `worker_process.WorkerProcess`es, `carrier` takes the bodies of runs to them, and
`worker` is what runs in them. Each worker has a socket of its own (`channel`): no lock and no pipe
is shared, so one that dies, wherever it is, takes nobody with it.
"""
