"""E-mail addresses, also percent-encoded as in URLs. File names, versions and `git@host` are none."""

from __future__ import annotations

import re

from tallymark.rules.names import read_words
from tallymark.rules.places import Place
from tallymark.rules.rule import Rule

PLACEHOLDER = "[email]"

# Every pattern is bounded, and begins where nothing of its own kind stands before it: a long text made to be slow
# takes no more time than any other of its length.
_DOMAIN = r"((?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}[^\W\d_]{2,24})(?!\d)"
_PLAIN = re.compile(r"(?<![\w.%+'-])([\w.%+'-]{1,64}+)@" + _DOMAIN)
_ENCODED = re.compile(r"(?i)(?<![\w.+'-])([\w.+'-]{1,64}+)%40" + _DOMAIN)
# Endings of files that are no top-level domains; `rs`, `py`, `md` and others are both, and count as domains.
_FILE_ENDINGS = read_words(
    "png jpg jpeg jpe gif webp svg avif bmp ico tif tiff heic heif psd xcf js mjs cjs ts tsx jsx css scss sass less htm html "
    "xhtml json xml yaml yml toml ini conf cfg log txt csv tsv pdf doc docx xls xlsx ppt pptx odt ods exe dll dylib bin dat db "
    "sql tar gz tgz bz bz2 xz rar jar war ear class java kt cpp hpp cxx hxx rb php vue svelte lock map wasm woff ttf otf eot mkv "
    "avi ogg wav flac webm patch diff bak tmp swp pem crt csr der pfx service socket timer mount target git"
)
_VERSIONED = re.compile(r"v?\d+\.\d")
# `logo@2x.png` and its like, whatever the ending.
_DENSITY = re.compile(r"(?i)\d{1,2}x(?:[~_-]\w+)?$")
# Who stands for a service in addresses such as git@github.com:owner/name.git.
_SERVICES = frozenset(("git", "hg", "svn"))


def redact_emails(text: str, place: Place) -> tuple[str, int]:  # noqa: ARG001 - rules share one shape
    """Replace e-mail addresses, wherever they stand."""
    found = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        local, domain = match[1], match[2]
        if not _is_persons(local, domain):
            return match[0]
        found += 1
        # A quotation mark before the address is no part of it.
        return "'" * (len(local) - len(local.lstrip("'"))) + PLACEHOLDER

    if "@" in text:
        text = _PLAIN.sub(replace, text)
    if "%40" in text:
        text = _ENCODED.sub(replace, text)
    return text, found


def is_address(text: str) -> bool:
    """Tell whether a text is one e-mail address and nothing else."""
    match = _PLAIN.fullmatch(text)
    return match is not None and _is_persons(match[1], match[2])


def normalize_address(text: str) -> str:
    """Return an address in small letters, as the post takes them for one; any other text as it is."""
    return text.strip().lower() if is_address(text.strip()) else text


def _is_persons(local: str, domain: str) -> bool:
    """Tell an address from what only has its form."""
    first, _, _ = domain.partition(".")
    ending = domain.rpartition(".")[2].lower()
    return not (
        ending in _FILE_ENDINGS
        or _VERSIONED.match(domain)
        or _DENSITY.match(first)
        or local.lower() in _SERVICES
        or not any(character.isalnum() for character in local)
    )


RULE = Rule(
    "email",
    redact_emails,
    hints=((rb"(?:@|%40)[0-9A-Za-z\x80-\xff][0-9A-Za-z_.\x80-\xff-]*\.[A-Za-z\x80-\xff]{2}",),),
    placeholder=PLACEHOLDER,
    normalize=normalize_address,
)
