"""What a project has decided, as objects: metrics and dashboards, written in YAML files, in the pages or over the API.

Files come in as text, definitions go out; each kind of object is one file of `kinds`. Nothing here asks the store.
"""
