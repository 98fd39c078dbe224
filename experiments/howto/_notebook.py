"""Execute the notebooks of this folder in place: `python experiments/howto/_notebook.py` (needs nbclient and ipykernel).

With --check nothing is written: each notebook is printed as a line of JSON, for tests/test_howto.py to compare.
"""

import json
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

for path in sorted(Path(__file__).parent.glob("*.ipynb")):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", record_timing=False).execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    if "--check" in sys.argv:
        print(json.dumps([path.name, notebook]))
    else:
        nbformat.write(notebook, path)
