"""The loader: judged records of the journal go into the store, each exactly once, and into the ledger.

`load.py` is the loop, `insert.py` gets rows into the store whatever happens, `account.py` keeps the books.
"""
