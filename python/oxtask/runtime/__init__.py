"""What is known of the run this code is in, as attributes of modules.

Attributes are looked up each time they are read. Outside of runs they are ``None``, empty or 0, and
never raise. For tests, ``OXTASK__RUNTIME__<MODULE>__<NAME>`` in the environment replaces a value.

>>> from oxtask import flow
>>> from oxtask.runtime import flow_run
>>> @flow(flow_run_name="of {year}")
... def report(year: int):
...     return flow_run.name, flow_run.parameters
>>> report(2024)
('of 2024', {'year': 2024})
"""

from __future__ import annotations

from oxtask.runtime import deployment, flow_run, task_run

__all__ = ["deployment", "flow_run", "task_run"]
