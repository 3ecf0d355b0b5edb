"""Commands about models: train, fit, judge, keep."""
