"""What the packs that use the network share.

- `charset`: decodes text from the network.
- `url_forms`: reads a URL in every way in which a server may read it.
"""
