# /srv/weave/shared/weave.wsgi: loads the application of the release that `current` names when this
# process starts. mod_wsgi starts its processes anew when this file is touched.

import os
import sys

# Resolved once, so that a process never mixes two releases.
prefix = os.path.realpath("/srv/weave/current")
sys.path.insert(0, prefix)

from wsgi import application  # noqa: E402,F401
