"""Buckets on S3 and on servers that speak its protocol, through the client of s3fs."""
