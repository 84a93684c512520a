"""A repository explorer: a small model searches and reads the files in a folder, and can't read any other files.

`agentloop run --pack files:root=. --pack search_files:root=. "Where is add_vat?"` does the same from the command line.
"""

import tempfile
from pathlib import Path

from agentloop import Agent, ToolFinished
from agentloop_tools.files import Files, FilesConfig
from agentloop_tools.search_files import SearchFiles, SearchFilesConfig

FOLDER = Path(__file__).parent

with tempfile.TemporaryDirectory() as index:
    files = Files(FilesConfig(root=FOLDER)).only("read")  # a small model works better with few tools
    search = SearchFiles(SearchFilesConfig(root=FOLDER, index=Path(index, "index.db"))).only("search")
    packs = [pack.limited(max_output=500) for pack in (search, files)]  # and with short results
    agent = Agent("local:smollm2", tools=packs)
    for question in ("Where is get_vat_rate?", "Read the file 01_vat.py."):
        print("question ", question)
        for event in agent.stream_sync(question):
            match event:
                case ToolFinished(call, result):
                    print("call     ", call.name, call.arguments)
                    print("result   ", "\n           ".join(result.content.splitlines()[:8]))
                case _:
                    pass
