"""Show the values inside an artifact: at comparison points, or all of them."""
