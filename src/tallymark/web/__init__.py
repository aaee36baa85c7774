"""The reading side over HTTP: the JSON API and the pages. `app.py` joins them, `services.py` is what they share."""
