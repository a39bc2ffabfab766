from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Budget(_message.Message):
    __slots__ = ("latency_ms", "size_bytes", "peak_ram_bytes", "energy_mj", "uplink_bytes", "accuracy_margin", "train_ram_bytes")
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_RAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MJ_FIELD_NUMBER: _ClassVar[int]
    UPLINK_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_MARGIN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_RAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    latency_ms: float
    size_bytes: int
    peak_ram_bytes: int
    energy_mj: float
    uplink_bytes: int
    accuracy_margin: float
    train_ram_bytes: int
    def __init__(self, latency_ms: _Optional[float] = ..., size_bytes: _Optional[int] = ..., peak_ram_bytes: _Optional[int] = ..., energy_mj: _Optional[float] = ..., uplink_bytes: _Optional[int] = ..., accuracy_margin: _Optional[float] = ..., train_ram_bytes: _Optional[int] = ...) -> None: ...

class Benchmark(_message.Message):
    __slots__ = ("gemm_m1_fp32_gflops", "gemm_m1_int8_gops", "gemm_m256_fp32_gflops", "gemm_m256_int8_gops", "depthwise_fp32_gflops", "pointwise_fp32_gflops", "copy_l2_gb_s", "copy_l3_gb_s", "copy_dram_gb_s", "cpu_s")
    GEMM_M1_FP32_GFLOPS_FIELD_NUMBER: _ClassVar[int]
    GEMM_M1_INT8_GOPS_FIELD_NUMBER: _ClassVar[int]
    GEMM_M256_FP32_GFLOPS_FIELD_NUMBER: _ClassVar[int]
    GEMM_M256_INT8_GOPS_FIELD_NUMBER: _ClassVar[int]
    DEPTHWISE_FP32_GFLOPS_FIELD_NUMBER: _ClassVar[int]
    POINTWISE_FP32_GFLOPS_FIELD_NUMBER: _ClassVar[int]
    COPY_L2_GB_S_FIELD_NUMBER: _ClassVar[int]
    COPY_L3_GB_S_FIELD_NUMBER: _ClassVar[int]
    COPY_DRAM_GB_S_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    gemm_m1_fp32_gflops: float
    gemm_m1_int8_gops: float
    gemm_m256_fp32_gflops: float
    gemm_m256_int8_gops: float
    depthwise_fp32_gflops: float
    pointwise_fp32_gflops: float
    copy_l2_gb_s: float
    copy_l3_gb_s: float
    copy_dram_gb_s: float
    cpu_s: float
    def __init__(self, gemm_m1_fp32_gflops: _Optional[float] = ..., gemm_m1_int8_gops: _Optional[float] = ..., gemm_m256_fp32_gflops: _Optional[float] = ..., gemm_m256_int8_gops: _Optional[float] = ..., depthwise_fp32_gflops: _Optional[float] = ..., pointwise_fp32_gflops: _Optional[float] = ..., copy_l2_gb_s: _Optional[float] = ..., copy_l3_gb_s: _Optional[float] = ..., copy_dram_gb_s: _Optional[float] = ..., cpu_s: _Optional[float] = ...) -> None: ...

class DeviceProfile(_message.Message):
    __slots__ = ("device_id", "device_class", "machine", "cores", "isa", "ram_bytes", "storage_free_bytes", "battery_fraction", "providers", "benchmark", "slowdown_modelled", "energy_pj_per_mac_modelled")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    ISA_FIELD_NUMBER: _ClassVar[int]
    RAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FRACTION_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    BENCHMARK_FIELD_NUMBER: _ClassVar[int]
    SLOWDOWN_MODELLED_FIELD_NUMBER: _ClassVar[int]
    ENERGY_PJ_PER_MAC_MODELLED_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    device_class: str
    machine: str
    cores: int
    isa: _containers.RepeatedScalarFieldContainer[str]
    ram_bytes: int
    storage_free_bytes: int
    battery_fraction: float
    providers: _containers.RepeatedScalarFieldContainer[str]
    benchmark: Benchmark
    slowdown_modelled: float
    energy_pj_per_mac_modelled: float
    def __init__(self, device_id: _Optional[str] = ..., device_class: _Optional[str] = ..., machine: _Optional[str] = ..., cores: _Optional[int] = ..., isa: _Optional[_Iterable[str]] = ..., ram_bytes: _Optional[int] = ..., storage_free_bytes: _Optional[int] = ..., battery_fraction: _Optional[float] = ..., providers: _Optional[_Iterable[str]] = ..., benchmark: _Optional[_Union[Benchmark, _Mapping]] = ..., slowdown_modelled: _Optional[float] = ..., energy_pj_per_mac_modelled: _Optional[float] = ...) -> None: ...

class DataProfile(_message.Message):
    __slots__ = ("device_id", "kind", "sample_shape", "outputs", "train_samples", "validation_samples", "class_counts", "target_quantiles", "target_mean", "target_variance", "feature_means", "feature_variances", "drift", "round")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_SHAPE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    CLASS_COUNTS_FIELD_NUMBER: _ClassVar[int]
    TARGET_QUANTILES_FIELD_NUMBER: _ClassVar[int]
    TARGET_MEAN_FIELD_NUMBER: _ClassVar[int]
    TARGET_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_MEANS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_VARIANCES_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    sample_shape: _containers.RepeatedScalarFieldContainer[int]
    outputs: int
    train_samples: int
    validation_samples: int
    class_counts: _containers.RepeatedScalarFieldContainer[int]
    target_quantiles: _containers.RepeatedScalarFieldContainer[float]
    target_mean: float
    target_variance: float
    feature_means: _containers.RepeatedScalarFieldContainer[float]
    feature_variances: _containers.RepeatedScalarFieldContainer[float]
    drift: Drift
    round: int
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., sample_shape: _Optional[_Iterable[int]] = ..., outputs: _Optional[int] = ..., train_samples: _Optional[int] = ..., validation_samples: _Optional[int] = ..., class_counts: _Optional[_Iterable[int]] = ..., target_quantiles: _Optional[_Iterable[float]] = ..., target_mean: _Optional[float] = ..., target_variance: _Optional[float] = ..., feature_means: _Optional[_Iterable[float]] = ..., feature_variances: _Optional[_Iterable[float]] = ..., drift: _Optional[_Union[Drift, _Mapping]] = ..., round: _Optional[int] = ...) -> None: ...

class Shift(_message.Message):
    __slots__ = ("size", "level")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    size: float
    level: float
    def __init__(self, size: _Optional[float] = ..., level: _Optional[float] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("label", "feature", "confidence")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    label: Shift
    feature: Shift
    confidence: Shift
    def __init__(self, label: _Optional[_Union[Shift, _Mapping]] = ..., feature: _Optional[_Union[Shift, _Mapping]] = ..., confidence: _Optional[_Union[Shift, _Mapping]] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("mean", "error", "rows")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    mean: float
    error: float
    rows: int
    def __init__(self, mean: _Optional[float] = ..., error: _Optional[float] = ..., rows: _Optional[int] = ...) -> None: ...

class DataRecord(_message.Message):
    __slots__ = ("profile", "runs", "label_effect", "target_mean_error", "target_variance_error", "feature_mean_errors", "feature_variance_errors", "loss", "judge")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    LABEL_EFFECT_FIELD_NUMBER: _ClassVar[int]
    TARGET_MEAN_ERROR_FIELD_NUMBER: _ClassVar[int]
    TARGET_VARIANCE_ERROR_FIELD_NUMBER: _ClassVar[int]
    FEATURE_MEAN_ERRORS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_VARIANCE_ERRORS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    profile: DataProfile
    runs: int
    label_effect: float
    target_mean_error: float
    target_variance_error: float
    feature_mean_errors: _containers.RepeatedScalarFieldContainer[float]
    feature_variance_errors: _containers.RepeatedScalarFieldContainer[float]
    loss: Loss
    judge: Broadcast
    def __init__(self, profile: _Optional[_Union[DataProfile, _Mapping]] = ..., runs: _Optional[int] = ..., label_effect: _Optional[float] = ..., target_mean_error: _Optional[float] = ..., target_variance_error: _Optional[float] = ..., feature_mean_errors: _Optional[_Iterable[float]] = ..., feature_variance_errors: _Optional[_Iterable[float]] = ..., loss: _Optional[_Union[Loss, _Mapping]] = ..., judge: _Optional[_Union[Broadcast, _Mapping]] = ...) -> None: ...

class ModelSpec(_message.Message):
    __slots__ = ("name", "version", "kind", "input_shape", "outputs", "feature_means", "feature_scales", "target_mean", "target_scale", "exits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHAPE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_MEANS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SCALES_FIELD_NUMBER: _ClassVar[int]
    TARGET_MEAN_FIELD_NUMBER: _ClassVar[int]
    TARGET_SCALE_FIELD_NUMBER: _ClassVar[int]
    EXITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    kind: str
    input_shape: _containers.RepeatedScalarFieldContainer[int]
    outputs: int
    feature_means: _containers.RepeatedScalarFieldContainer[float]
    feature_scales: _containers.RepeatedScalarFieldContainer[float]
    target_mean: float
    target_scale: float
    exits: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., kind: _Optional[str] = ..., input_shape: _Optional[_Iterable[int]] = ..., outputs: _Optional[int] = ..., feature_means: _Optional[_Iterable[float]] = ..., feature_scales: _Optional[_Iterable[float]] = ..., target_mean: _Optional[float] = ..., target_scale: _Optional[float] = ..., exits: _Optional[_Iterable[str]] = ...) -> None: ...

class Footprint(_message.Message):
    __slots__ = ("precision", "checkpoints", "micro_batch")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    MICRO_BATCH_FIELD_NUMBER: _ClassVar[int]
    precision: str
    checkpoints: int
    micro_batch: int
    def __init__(self, precision: _Optional[str] = ..., checkpoints: _Optional[int] = ..., micro_batch: _Optional[int] = ...) -> None: ...

class TrainPlan(_message.Message):
    __slots__ = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "clip_norm", "footprint")
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    FOOTPRINT_FIELD_NUMBER: _ClassVar[int]
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    clip_norm: float
    footprint: Footprint
    def __init__(self, epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., momentum: _Optional[float] = ..., weight_decay: _Optional[float] = ..., clip_norm: _Optional[float] = ..., footprint: _Optional[_Union[Footprint, _Mapping]] = ...) -> None: ...

class PersonalPlan(_message.Message):
    __slots__ = ("method", "epochs", "batch_size", "learning_rate", "proximal")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    PROXIMAL_FIELD_NUMBER: _ClassVar[int]
    method: str
    epochs: int
    batch_size: int
    learning_rate: float
    proximal: float
    def __init__(self, method: _Optional[str] = ..., epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., proximal: _Optional[float] = ...) -> None: ...

class Recipe(_message.Message):
    __slots__ = ("name", "shrink", "precision", "distil_steps", "speed", "student")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHRINK_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    DISTIL_STEPS_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    STUDENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    shrink: float
    precision: str
    distil_steps: int
    speed: float
    student: float
    def __init__(self, name: _Optional[str] = ..., shrink: _Optional[float] = ..., precision: _Optional[str] = ..., distil_steps: _Optional[int] = ..., speed: _Optional[float] = ..., student: _Optional[float] = ...) -> None: ...

class CodecSpec(_message.Message):
    __slots__ = ("name", "version", "args")
    class ArgsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    args: _containers.ScalarMap[str, float]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., args: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GatePlan(_message.Message):
    __slots__ = ("margin", "confidence", "loss_margin")
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LOSS_MARGIN_FIELD_NUMBER: _ClassVar[int]
    margin: float
    confidence: float
    loss_margin: float
    def __init__(self, margin: _Optional[float] = ..., confidence: _Optional[float] = ..., loss_margin: _Optional[float] = ...) -> None: ...

class Submodel(_message.Message):
    __slots__ = ("kind", "exit", "share", "offset", "note")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    exit: str
    share: float
    offset: int
    note: str
    def __init__(self, kind: _Optional[str] = ..., exit: _Optional[str] = ..., share: _Optional[float] = ..., offset: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("device_id", "round", "seed", "base_version", "model", "train", "personal", "personal_parameters", "recipes", "codec", "feedback", "gate", "budget", "version", "step_ahead", "local_parameters", "downlink", "submodel", "profile_round", "label_prior")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RECIPES_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STEP_AHEAD_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DOWNLINK_FIELD_NUMBER: _ClassVar[int]
    SUBMODEL_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ROUND_FIELD_NUMBER: _ClassVar[int]
    LABEL_PRIOR_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    round: int
    seed: int
    base_version: int
    model: ModelSpec
    train: TrainPlan
    personal: PersonalPlan
    personal_parameters: _containers.RepeatedScalarFieldContainer[str]
    recipes: _containers.RepeatedCompositeFieldContainer[Recipe]
    codec: CodecSpec
    feedback: bool
    gate: GatePlan
    budget: Budget
    version: int
    step_ahead: float
    local_parameters: _containers.RepeatedScalarFieldContainer[str]
    downlink: CodecSpec
    submodel: Submodel
    profile_round: int
    label_prior: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, device_id: _Optional[str] = ..., round: _Optional[int] = ..., seed: _Optional[int] = ..., base_version: _Optional[int] = ..., model: _Optional[_Union[ModelSpec, _Mapping]] = ..., train: _Optional[_Union[TrainPlan, _Mapping]] = ..., personal: _Optional[_Union[PersonalPlan, _Mapping]] = ..., personal_parameters: _Optional[_Iterable[str]] = ..., recipes: _Optional[_Iterable[_Union[Recipe, _Mapping]]] = ..., codec: _Optional[_Union[CodecSpec, _Mapping]] = ..., feedback: bool = ..., gate: _Optional[_Union[GatePlan, _Mapping]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., version: _Optional[int] = ..., step_ahead: _Optional[float] = ..., local_parameters: _Optional[_Iterable[str]] = ..., downlink: _Optional[_Union[CodecSpec, _Mapping]] = ..., submodel: _Optional[_Union[Submodel, _Mapping]] = ..., profile_round: _Optional[int] = ..., label_prior: _Optional[_Iterable[float]] = ...) -> None: ...

class KeptChannels(_message.Message):
    __slots__ = ("layer", "total", "kept")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    total: int
    kept: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, layer: _Optional[str] = ..., total: _Optional[int] = ..., kept: _Optional[_Iterable[int]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("layers",)
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedCompositeFieldContainer[KeptChannels]
    def __init__(self, layers: _Optional[_Iterable[_Union[KeptChannels, _Mapping]]] = ...) -> None: ...

class Efficiency(_message.Message):
    __slots__ = ("payload_bytes", "file_bytes", "macs", "latency_p50_us_measured", "latency_p99_us_measured", "cpu_p50_us_measured", "load_ms_measured", "memory_bytes_measured", "latency_ms_modelled", "energy_mj_modelled", "energy_mj_measured")
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MACS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P50_US_MEASURED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P99_US_MEASURED_FIELD_NUMBER: _ClassVar[int]
    CPU_P50_US_MEASURED_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_MEASURED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_MEASURED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_MODELLED_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MJ_MODELLED_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MJ_MEASURED_FIELD_NUMBER: _ClassVar[int]
    payload_bytes: int
    file_bytes: int
    macs: int
    latency_p50_us_measured: float
    latency_p99_us_measured: float
    cpu_p50_us_measured: float
    load_ms_measured: float
    memory_bytes_measured: int
    latency_ms_modelled: float
    energy_mj_modelled: float
    energy_mj_measured: float
    def __init__(self, payload_bytes: _Optional[int] = ..., file_bytes: _Optional[int] = ..., macs: _Optional[int] = ..., latency_p50_us_measured: _Optional[float] = ..., latency_p99_us_measured: _Optional[float] = ..., cpu_p50_us_measured: _Optional[float] = ..., load_ms_measured: _Optional[float] = ..., memory_bytes_measured: _Optional[int] = ..., latency_ms_modelled: _Optional[float] = ..., energy_mj_modelled: _Optional[float] = ..., energy_mj_measured: _Optional[float] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("verdict", "rows", "reference_only", "variant_only", "drop", "bound", "margin", "confidence")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_ONLY_FIELD_NUMBER: _ClassVar[int]
    VARIANT_ONLY_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    verdict: str
    rows: int
    reference_only: int
    variant_only: int
    drop: float
    bound: float
    margin: float
    confidence: float
    def __init__(self, verdict: _Optional[str] = ..., rows: _Optional[int] = ..., reference_only: _Optional[int] = ..., variant_only: _Optional[int] = ..., drop: _Optional[float] = ..., bound: _Optional[float] = ..., margin: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class Rung(_message.Message):
    __slots__ = ("recipe", "precision", "weight_bits", "mask", "validation_score", "verdict", "efficiency", "latency_ratio", "payload_sha256", "unmet", "note", "doubt")
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_BITS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_SCORE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EFFICIENCY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_RATIO_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SHA256_FIELD_NUMBER: _ClassVar[int]
    UNMET_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DOUBT_FIELD_NUMBER: _ClassVar[int]
    recipe: str
    precision: str
    weight_bits: float
    mask: Mask
    validation_score: float
    verdict: Verdict
    efficiency: Efficiency
    latency_ratio: float
    payload_sha256: str
    unmet: _containers.RepeatedScalarFieldContainer[str]
    note: str
    doubt: str
    def __init__(self, recipe: _Optional[str] = ..., precision: _Optional[str] = ..., weight_bits: _Optional[float] = ..., mask: _Optional[_Union[Mask, _Mapping]] = ..., validation_score: _Optional[float] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., efficiency: _Optional[_Union[Efficiency, _Mapping]] = ..., latency_ratio: _Optional[float] = ..., payload_sha256: _Optional[str] = ..., unmet: _Optional[_Iterable[str]] = ..., note: _Optional[str] = ..., doubt: _Optional[str] = ...) -> None: ...

class Ladder(_message.Message):
    __slots__ = ("device_id", "round", "base_version", "base_hash", "personal_method", "base_validation_score", "personal_validation_score", "reference", "rungs")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_HASH_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_METHOD_FIELD_NUMBER: _ClassVar[int]
    BASE_VALIDATION_SCORE_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_VALIDATION_SCORE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    round: int
    base_version: int
    base_hash: str
    personal_method: str
    base_validation_score: float
    personal_validation_score: float
    reference: Rung
    rungs: _containers.RepeatedCompositeFieldContainer[Rung]
    def __init__(self, device_id: _Optional[str] = ..., round: _Optional[int] = ..., base_version: _Optional[int] = ..., base_hash: _Optional[str] = ..., personal_method: _Optional[str] = ..., base_validation_score: _Optional[float] = ..., personal_validation_score: _Optional[float] = ..., reference: _Optional[_Union[Rung, _Mapping]] = ..., rungs: _Optional[_Iterable[_Union[Rung, _Mapping]]] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("device_id", "base_version", "base_hash", "personal_method", "rung", "artifact_sha256", "parent", "reason")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_HASH_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_METHOD_FIELD_NUMBER: _ClassVar[int]
    RUNG_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_SHA256_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    base_version: int
    base_hash: str
    personal_method: str
    rung: Rung
    artifact_sha256: str
    parent: str
    reason: str
    def __init__(self, device_id: _Optional[str] = ..., base_version: _Optional[int] = ..., base_hash: _Optional[str] = ..., personal_method: _Optional[str] = ..., rung: _Optional[_Union[Rung, _Mapping]] = ..., artifact_sha256: _Optional[str] = ..., parent: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("hardware", "data", "budget", "tags")
    HARDWARE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    hardware: DeviceProfile
    data: DataProfile
    budget: Budget
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hardware: _Optional[_Union[DeviceProfile, _Mapping]] = ..., data: _Optional[_Union[DataProfile, _Mapping]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("version", "marks", "exact", "scales", "payload")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    version: int
    marks: bool
    exact: bool
    scales: _containers.RepeatedScalarFieldContainer[float]
    payload: bytes
    def __init__(self, version: _Optional[int] = ..., marks: bool = ..., exact: bool = ..., scales: _Optional[_Iterable[float]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Broadcast(_message.Message):
    __slots__ = ("base_version", "base_hash", "schema_hash", "held_version", "hops", "format_version")
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_HASH_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    HELD_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    base_version: int
    base_hash: str
    schema_hash: bytes
    held_version: int
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    format_version: int
    def __init__(self, base_version: _Optional[int] = ..., base_hash: _Optional[str] = ..., schema_hash: _Optional[bytes] = ..., held_version: _Optional[int] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., format_version: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("base_version", "base_hash", "public_steps", "private_values", "hop", "difference", "moments")
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_HASH_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_STEPS_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_VALUES_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    base_version: int
    base_hash: str
    public_steps: bytes
    private_values: bytes
    hop: Hop
    difference: bytes
    moments: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, base_version: _Optional[int] = ..., base_hash: _Optional[str] = ..., public_steps: _Optional[bytes] = ..., private_values: _Optional[bytes] = ..., hop: _Optional[_Union[Hop, _Mapping]] = ..., difference: _Optional[bytes] = ..., moments: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Instruction(_message.Message):
    __slots__ = ("plan", "base", "acknowledged_round", "withdrawn")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_ROUND_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    base: Broadcast
    acknowledged_round: int
    withdrawn: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., base: _Optional[_Union[Broadcast, _Mapping]] = ..., acknowledged_round: _Optional[int] = ..., withdrawn: _Optional[_Iterable[str]] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ("device_id", "codec", "schema_hash", "base_version", "mask_hash", "round", "num_examples", "scales", "payload", "crc32", "format_version", "context_version", "mask")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MASK_HASH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    NUM_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    codec: CodecSpec
    schema_hash: bytes
    base_version: int
    mask_hash: bytes
    round: int
    num_examples: int
    scales: _containers.RepeatedScalarFieldContainer[float]
    payload: bytes
    crc32: int
    format_version: int
    context_version: int
    mask: bytes
    def __init__(self, device_id: _Optional[str] = ..., codec: _Optional[_Union[CodecSpec, _Mapping]] = ..., schema_hash: _Optional[bytes] = ..., base_version: _Optional[int] = ..., mask_hash: _Optional[bytes] = ..., round: _Optional[int] = ..., num_examples: _Optional[int] = ..., scales: _Optional[_Iterable[float]] = ..., payload: _Optional[bytes] = ..., crc32: _Optional[int] = ..., format_version: _Optional[int] = ..., context_version: _Optional[int] = ..., mask: _Optional[bytes] = ...) -> None: ...

class TrainReply(_message.Message):
    __slots__ = ("update", "base_validation_score", "validation_rows", "train_loss", "train_cpu_s")
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    BASE_VALIDATION_SCORE_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_ROWS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_CPU_S_FIELD_NUMBER: _ClassVar[int]
    update: Update
    base_validation_score: float
    validation_rows: int
    train_loss: float
    train_cpu_s: float
    def __init__(self, update: _Optional[_Union[Update, _Mapping]] = ..., base_validation_score: _Optional[float] = ..., validation_rows: _Optional[int] = ..., train_loss: _Optional[float] = ..., train_cpu_s: _Optional[float] = ...) -> None: ...

class TailorReply(_message.Message):
    __slots__ = ("ladder", "tailor_cpu_s", "problems")
    LADDER_FIELD_NUMBER: _ClassVar[int]
    TAILOR_CPU_S_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    ladder: Ladder
    tailor_cpu_s: float
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ladder: _Optional[_Union[Ladder, _Mapping]] = ..., tailor_cpu_s: _Optional[float] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("metric", "better", "rows", "base", "personal", "variant")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    BETTER_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    metric: str
    better: str
    rows: int
    base: float
    personal: float
    variant: float
    def __init__(self, metric: _Optional[str] = ..., better: _Optional[str] = ..., rows: _Optional[int] = ..., base: _Optional[float] = ..., personal: _Optional[float] = ..., variant: _Optional[float] = ...) -> None: ...

class EvaluateReply(_message.Message):
    __slots__ = ("scores", "variant", "payload")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    scores: Scores
    variant: Variant
    payload: bytes
    def __init__(self, scores: _Optional[_Union[Scores, _Mapping]] = ..., variant: _Optional[_Union[Variant, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...
