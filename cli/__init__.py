"""The command line of shvit-mobile: arguments, progress and printing; the work is done in `shvit_mobile`."""
