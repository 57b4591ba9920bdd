"""Makes the process that children are forked from ignore the signals that its children ignore.

The process imports this module first; an import is the only way to run code in it. If it ended, all children would
count as gone.
"""

from lipstream.realtime.workers.child_signals import leave_to_server

leave_to_server()
