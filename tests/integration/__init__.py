"""The archive against a production S3 server; `make integration`."""
