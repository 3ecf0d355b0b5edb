"""Writing small files so that they are whole or not there."""

from flashsim_prod.grid.writing import write_whole as write_whole
