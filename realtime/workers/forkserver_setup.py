"""Prepares the process that children are forked from.

The process imports this module first; an import is the only way to run code in it. It ignores the signals that its
children ignore: if it ended, all children would count as gone. And it collects no cycles: it would visit what it has
imported again and again, and write to memory that its children share.
"""

import gc

from lipstream.realtime.workers.child_signals import leave_to_server

leave_to_server()
gc.disable()
