"""Editing: what hooks, the MCP server and git ask of the board around the calls of an agent."""
