"""``python -m flashsim_prod.cli``: the same as ``flashsim-prod``, whatever the PATH is."""

from flashsim_prod.cli.main import main

main()
