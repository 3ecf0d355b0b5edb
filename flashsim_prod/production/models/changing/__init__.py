"""A bundle's models made better or cheaper: tuned to a sample, refined, reweighted, distilled."""
