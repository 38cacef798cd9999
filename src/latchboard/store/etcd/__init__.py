"""Etcd: the store port over an etcd cluster's JSON gateway, for processes on many machines.

Protocol: protocol/etcd.md.
"""
