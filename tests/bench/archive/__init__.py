"""From a delivery host into a bucket, beside boto3 and plain s3fs; `make bench-archive`."""
