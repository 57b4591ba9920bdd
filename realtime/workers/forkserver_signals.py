"""Imported by the process that children are forked from, before all else: it ignores what its children ignore.

Nothing else can be run in that process. If it ended, all children would count as gone.
"""

from lipstream.realtime.workers.child_signals import leave_to_server

leave_to_server()
