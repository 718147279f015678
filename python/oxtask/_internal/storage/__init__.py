"""How results are kept: their form as bytes, the folder they lie in, and who may read them."""
