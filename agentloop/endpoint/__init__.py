"""Contains everything that uses the network or the file system for a run.

- `served_model`: where a model is served, and the connections to it.
- `transport/`: sends bytes to the endpoint and receives its replies; the rate limit, and retries.
- `fetch/`: fetches URLs, from public addresses only.
- `redirects`: has redirects judged by the rules of the call that makes the request.
- `probe/`: finds out what an endpoint can do, with a few small requests.
- `profile_store`: the profile of a model from all sources, and the file of lessons.
- `config_file`: reads agentloop.toml, if it is the user's own or the user trusts it.
- `trusted_files`: which files of working folders the user trusts.
- `proxies`: whether a request may go through a proxy of the environment.
- `interception`: what stands between transports and the network in a test.
- `shared_file`: writes a small file that several processes share.
- `catalogue`: lists of models that providers publish.
- `media`: reads and checks images, and makes data URLs of them.
"""
