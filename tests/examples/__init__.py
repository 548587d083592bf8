"""The worked examples of the guide: they keep the contract, and Django runs on them."""
