"""joblib with its threading backend and as many jobs as processors; batches as it sees fit."""

from __future__ import annotations

import os

from joblib import Parallel, delayed
from workloads import increment, nap

from peers import Peer


class Joblib(Peer):
    jobs = os.cpu_count() or 1

    def map(self, load):
        items = list(range(load.count))

        def run():
            parallel = Parallel(n_jobs=self.jobs, backend="threading")
            return parallel(delayed(increment)(x) for x in items)

        return run

    def sleepers(self, load):
        items = list(range(load.count))

        def run():
            # batch_size: with the default the first sleepers would share a worker.
            parallel = Parallel(
                n_jobs=load.count, backend="threading", batch_size=1, pre_dispatch="all"
            )
            return parallel(delayed(nap)(x, load.seconds) for x in items)

        return run

    def stream(self, load):
        count = load.count

        def run():
            parallel = Parallel(n_jobs=self.jobs, backend="threading", return_as="generator")
            return sum(parallel(delayed(increment)(x) for x in range(count)))

        return run
