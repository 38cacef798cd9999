"""Surfaces: how people and agents reach Latchboard. Each parses, calls a service and renders; none holds a rule."""
