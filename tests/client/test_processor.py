import platform

import pytest

from fedtailor.client.processor import isa_features, processor_name, saturates, this_processor

X86 = "processor\t: 0\nmodel name\t: Intel(R) N100\nflags\t\t: fpu sse2 avx avx2 avx_vnni\n"
CORTEX_A72 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n"
CORTEX_A76 = "processor\t: 0\nFeatures\t: fp asimd aes asimdhp asimddp\n"


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        (X86, ("avx2", "vnni")),
        ("flags : avx512f avx2 avx512_vnni\n", ("avx2", "avx512f", "vnni")),
        ("flags : sse2 avx2x\n", ()),
        (CORTEX_A72, ("neon",)),
        (CORTEX_A76, ("neon", "dotprod")),
        ("Features : half thumb neon vfpv4\n", ("neon",)),
        ("", ()),
    ],
)
def test_features_are_read_in_our_words(cpuinfo, features):
    assert isa_features(cpuinfo) == features


@pytest.mark.parametrize(
    ("machine", "isa", "found"),
    [
        ("x86_64", ("avx2",), True),
        ("AMD64", (), True),
        ("x86_64", ("avx2", "vnni"), False),
        ("aarch64", ("neon",), False),
        ("arm64", (), False),
    ],
)
def test_only_x86_without_vnni_saturates(machine, isa, found):
    assert saturates(machine, isa) is found


def test_a_processor_is_named_by_model_then_board_then_architecture():
    assert processor_name(X86, "Raspberry Pi") == "Intel(R) N100"
    assert processor_name(CORTEX_A72, "Raspberry Pi 4 Model B Rev 1.4\0") == "Raspberry Pi 4 Model B Rev 1.4"
    assert processor_name("", "") in (platform.processor(), platform.machine())


def test_this_processor_has_a_name():
    name, features = this_processor()
    assert name
    assert len(set(features)) == len(features)
