"""An artefact as this device's runtime opens it fastest.

An artefact is an ONNX file: equal for equal variants, and good for every device. The form that ONNX Runtime has made
its own opens in less than half the time and in less memory, but it fits one machine and one version of the runtime, and
no two makings of it are equal. So it is kept beside the artefact, never instead of it, and made anew once it no longer
fits.
"""

import json
from logging import getLogger

import onnxruntime as ort

from fedtailor.client.processor import this_processor
from fedtailor.client.recall import recall
from fedtailor.client.runtime import optimised
from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import StoreError

READY = "ready"
log = getLogger(__name__)


def ready_model(store: DeviceStore, artifact_sha256: str) -> bytes:
    """The artefact in the runtime's own form, kept from the last time or made now; `open_session` opens it.

    One artefact at a time is kept so: what the device runs.

    Raises:
        StoreError: there is no such artefact, or it is damaged.
    """
    title = _title(artifact_sha256)
    kept = recall(store, READY, bytes)
    if kept is not None and kept.startswith(title):
        return kept[len(title) :]
    model = optimised(store.get_artifact(artifact_sha256))
    try:
        store.put(READY, title + model)
    except StoreError as error:  # it runs all the same, and is made again the next time
        log.warning("%s", error)
    return model


def _title(artifact_sha256: str) -> bytes:
    """All that the form depends on, as one line."""
    return json.dumps([artifact_sha256, ort.__version__, *this_processor()]).encode() + b"\n"
