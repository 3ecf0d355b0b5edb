"""HTCondor: a request is one DAG, driven by DAGMan; its schedd retries, holds, releases and throttles."""
