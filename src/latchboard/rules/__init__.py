"""Rules: record, request and instant in, decision out; pure, one file per protocol chapter."""
