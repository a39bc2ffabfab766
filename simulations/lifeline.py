"""A child process that ends with the process that started it, however that one ends."""

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess


def end_with_parent() -> None:
    """From now on this process ends at once when its parent is gone, whatever it is at.

    A closed pipe would tell it too, but only after the work in hand: by then the run may have been resumed, and two
    processes would write the same device's store.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
