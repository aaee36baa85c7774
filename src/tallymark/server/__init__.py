"""The server: settings, processes, wiring and the command line. Read `app.py` first."""
