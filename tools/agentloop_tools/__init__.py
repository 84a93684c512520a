"""First-party tool packs; they import only the public names of agentloop."""
