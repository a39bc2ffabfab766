"""What an artefact costs where it runs; every name says measured or modelled."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """One artefact in its runtime, batch 1, one thread.

    Measured figures come from ONNX Runtime in the process that would serve it. `latency_ms_modelled` is the measured
    median times the slowdown of a simulated device class, and None on a real device. Energy of one run is measured
    where the platform offers a counter, what it takes idle left out, and modelled from the multiply-accumulates for a
    simulated class. `memory_bytes_measured` is what a session takes at the height of a run, and no less than the file.
    `macs` is None where they are not known.
    """

    payload_bytes: int
    file_bytes: int
    macs: int | None
    latency_p50_us_measured: float
    latency_p99_us_measured: float
    cpu_p50_us_measured: float
    load_ms_measured: float
    memory_bytes_measured: int
    latency_ms_modelled: float | None = None
    energy_mj_modelled: float | None = None
    energy_mj_measured: float | None = None

    @property
    def latency_ms(self) -> float:
        """The figure a budget is held against: modelled for a simulated class, else measured."""
        return self.latency_p50_us_measured / 1000 if self.latency_ms_modelled is None else self.latency_ms_modelled

    @property
    def energy_mj(self) -> float | None:
        """Likewise; None where it is neither modelled nor measured."""
        return self.energy_mj_measured if self.energy_mj_modelled is None else self.energy_mj_modelled
