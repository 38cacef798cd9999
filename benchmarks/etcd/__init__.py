"""The store in etcd: each benchmark starts clusters of its own on loopback, and ends them.

Nothing is measured where no etcd is installed.
"""
