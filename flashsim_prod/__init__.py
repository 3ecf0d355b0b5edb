"""flashsim-prod: a production toolkit for CMS FlashSim."""

__version__ = "0.1.0"
