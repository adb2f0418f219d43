"""The project's own exceptions; each message carries its remedy."""


class InvmassError(Exception):
    """Whatever went wrong, in words for the person who has to mend it."""


class UsageError(InvmassError):
    """A name, an option or a shape that cannot be what was meant."""


class NoTargetError(UsageError):
    """There is nothing that an estimator converges to on this posterior."""


class BackendUnavailableError(InvmassError):
    """The library behind a backend is not installed."""


class BackendFaultError(InvmassError):
    """A backend broke its contract: wrong shape, not finite, not positive definite."""


class NoModeError(UsageError):
    """A density has no mode at which its information could be taken.

    `reason` is the message without its remedy.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{reason}. Give the values at which the information is to be taken, or judge M⁻¹ "
            "against the posterior's covariance, as invmass.check does"
        )


class SingularFisherError(InvmassError):
    """The Fisher information has a direction about which the model says nothing."""


class RowsError(InvmassError):
    """Results cannot be read or written."""


class NoOverlapError(RowsError):
    """Two results folders hold no rows that can be compared with each other."""
