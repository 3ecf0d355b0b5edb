"""FlashSim itself: object models, their networks, and the chain that runs them."""
