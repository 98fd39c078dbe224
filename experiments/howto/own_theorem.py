"""A theorem of one's own, without a fork: write it, verify it, and see that a slip is found.

The same from a shell: `exactdiffusion new theorem prop_mine`, then `exactdiffusion verify ./prop_mine.py`.
"""

import tempfile

import exactdiffusion as ed
from exactdiffusion.checks.new import own_theorem

path = own_theorem("prop_mine", tempfile.mkdtemp())  # statement, check, tight instance and controls in 40 lines
print("as it was written:", "passes" if ed.verify([path]) == 0 else "fails")

text = path.read_text()
path.write_text(text.replace("return R**2 / sigma**2", "return R**2 / sigma"))  # a wrong formula
print("with a wrong formula:", "passes" if ed.verify([path]) == 0 else "fails")
print(path.with_suffix(".md").read_text())  # the page, with the instance that fails
