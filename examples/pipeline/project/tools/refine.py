"""The refiner: reads what the tests said, and mends the files that they blame: names in texts, which builders leave."""

import json
import re
import sys
from pathlib import Path

job = json.load(sys.stdin)
old, new = job["payload"]["old"], job["payload"]["new"]
said = job["result"]["output"]

blamed = {Path(name) for name in re.findall(r'File "([^"]+)"', said)}
mended = []
for path in sorted(path for path in blamed if path.is_relative_to(Path.cwd()) and path.parent.name == "stats"):
    text = path.read_text()
    after = re.sub(rf'(["\']){old}\1', rf"\g<1>{new}\g<1>", text)
    if after != text:
        path.write_text(after)
        mended.append(path.name)
if not mended:
    sys.exit(f"nothing that the tests blame has a text {old!r}:\n{said}")
print(f"mended {', '.join(mended)}")
