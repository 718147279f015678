"""Private parts of oxtask; nothing here is meant to be imported by users."""
