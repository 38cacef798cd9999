"""The file store: a folder that behaves like a small etcd. Protocol: protocol/store.md, protocol/layout.md."""
