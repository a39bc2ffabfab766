"""What a person would use today instead of fedtailor: one tool a file, registered by name, each installed or not."""

from fedtailor.simulations.peers import inc, nncf_control, nncf_ptq, olive_static, ort_static  # noqa: F401 - registers
