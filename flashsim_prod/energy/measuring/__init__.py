"""From a workload and a protocol to a record of power."""
