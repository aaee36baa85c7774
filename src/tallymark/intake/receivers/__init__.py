"""One module per protocol: bytes of a request's body in, events and failures out."""
