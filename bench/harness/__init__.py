"""What bench/run and bench/telemetry-cost share: peers, scenarios, the report."""
