"""Says a last word and ends with the status it is given."""

import sys

sys.stderr.write("a last word\n")
sys.exit(int(sys.argv[1]))
