"""What sync and async transactions have in common: a tree, and how it is settled."""
