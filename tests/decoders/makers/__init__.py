"""Writers of fixtures, one module a kind of content."""
