"""The API's resources: one file each, one function per operation."""
