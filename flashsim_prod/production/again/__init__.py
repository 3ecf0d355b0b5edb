"""Making again what a request says: lost files, files that were never made, events in memory alone."""
