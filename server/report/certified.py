"""What the fleet's certificates say, a sentence each."""

from fedtailor.protos.certificate import ON_TEST, Certificate
from fedtailor.protos.model_spec import NEXT_TOKEN, REGRESSION
from fedtailor.protos.summary import Summary
from fedtailor.server.report.wording import NBSP, UNKNOWN, counted, points_text


def certified(summary: Summary) -> list[str]:
    """What the deployed variants lose on validation rows, and on test rows; empty where nothing is certified."""
    deployed, test = summary.certificates.deployed, summary.certificates.test
    lines = []
    if deployed:
        lines.append(
            f"deployed variants against fp32, on validation rows: {_evidence(summary, deployed)}; optimistic, as every "
            "device's variant was chosen on these rows"
        )
    if test:
        lines.append(f"the same on test rows, by which nothing was chosen: {_evidence(summary, test)}")
    return lines


def loss_text(summary: Summary, certificate: Certificate, loss: float | None) -> str:
    """A drop or bound in the certificate's unit; a dash where there is none."""
    if loss is None:
        return UNKNOWN
    if summary.kind == NEXT_TOKEN and certificate.recipe == ON_TEST:
        return f"{loss:.3f}{NBSP}bits".replace("-", "\u2212")
    return points_text(loss, summary.kind)


def _evidence(summary: Summary, certificate: Certificate) -> str:
    what = " of squared error" if summary.kind == REGRESSION else ""
    drop = f"{loss_text(summary, certificate, certificate.drop)}{what} lost"
    seen = f"on {counted(certificate.rows, 'row')} of {counted(certificate.devices, 'device')}"
    bounds = [
        f"at most {loss_text(summary, certificate, bound)} on {whom}"
        for bound, whom in ((certificate.rows_bound, "these"), (certificate.bound, "devices like these"))
        if bound is not None
    ]
    if certificate.bound is None:
        bounds.append(f"on devices like these {certificate.method}")
    return f"{drop} {seen}, {', '.join(bounds)} ({certificate.confidence:.0%} confidence)"
