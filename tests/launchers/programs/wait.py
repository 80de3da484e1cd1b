"""Says the words it is given, one a line, and then does nothing for a long time."""

import sys
import time

for word in sys.argv[1:]:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()
time.sleep(600)
