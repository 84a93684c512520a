"""Reaches out: everything that talks to a server or to the file system for a run.

- `transport/`: bytes to and from the endpoint, its rate limit, and retries.
- `fetch/`: guarded requests to public addresses.
- `probe/`: finds out what an endpoint can do, with a few small requests.
- `profile_store`: agentloop.toml and the file of what was learned.
- `shared_file`: a small file that several processes write.
- `catalogue`: lists of models that providers publish.
- `media`: reads and checks images, and makes data URLs of them.
"""
