"""Tables of an HTTP service, which has pages, a rate limit, and no transactions."""
