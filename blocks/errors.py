"""Every error of this project: who must act, what is known, and whether money was spent.

```
AvatarError
├── InvalidRequest             yours: every fault of the request at once; nothing was sent
├── SetupMissing               yours: no key, no archive, no block
├── SourceUnavailable          an image or audio could not be read; nothing was sent
├── BudgetExceeded             a budget has too little left for it; nothing was sent
│   └── PriceUnknown           nobody can say what it would cost, and a budget applies
├── ProviderError              what CometAPI or Kling answered, or did not
│   ├── RequestRejected        the provider refused the request; nothing was bought
│   │   └── ContentRefused     its content check refused image, audio or prompt
│   ├── AccessRefused          key, rights or address list
│   │   └── AccountExhausted   no credit left, or the account is blocked
│   ├── SlowDown               wait `retry_after` seconds; nothing was bought
│   ├── NotSent                the request never left this machine
│   ├── ProviderUnavailable    a read got no usable answer; read again
│   ├── TaskNotFound           the provider knows no such Kling task
│   └── OutcomeUnknown         a POST that may or may not have been accepted
├── JobError                   where one wanted video stands
│   ├── TaskFailed             Kling ran the task and reported failure
│   ├── JobOverdue             our deadline passed; the Kling task may still finish
│   ├── JobInProgress          another run is submitting this job right now
│   ├── NeedsDecision          nobody can tell whether it was bought: a person decides
│   ├── JobGivenUp             a person decided to give it up
│   └── TaskIdNotRecorded      bought, but the Kling task id could not be written down
├── ClipError                  the delivered video
│   ├── ClipUnavailable        the delivery link is dead or unreachable; ask for it again
│   └── ClipRejected           the delivered bytes are not the whole, right video
└── StorageError               the archive
    ├── StorageUnavailable     it did not answer, or refused
    └── NoExclusiveCreate      it cannot keep two workers from paying twice
```

Every error carries `Facts`, can be pickled, and ends with what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple, Self

Charged = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the failure, each field only where it is known.

    Attributes:
        job_id: Our id of the wanted video.
        kling_task_id: The provider's id of the Kling task.
        http_status: Status of the HTTP answer.
        service_code: Kling's service code (1000 to 5999), or the gateway's error code.
        request_id: The provider's id of the request, for its support.
        charged: Whether this cost money; `None` means the default of the error's class.
        retry_after: Seconds the provider asked us to wait.
    """

    job_id: str | None = None
    kling_task_id: str | None = None
    http_status: int | None = None
    service_code: int | str | None = None
    request_id: str | None = None
    charged: Charged | None = None
    retry_after: float | None = None


class Fault(NamedTuple):
    """One thing that is wrong with a request.

    Attributes:
        field: The parameter it concerns.
        found: The value that was found, short and without secrets.
        limit: What would have been right.
    """

    field: str
    found: str
    limit: str

    def __str__(self) -> str:
        return f"{self.field}: {self.found}; {self.limit}"


class AvatarError(Exception):
    """Base of all errors here.

    Args:
        message: What happened, in one sentence without secrets.
        facts: What is known about it.
        next_step: What to do next; the class has a default.
    """

    charged_by_default: ClassVar[Charged] = "no"
    default_next_step: ClassVar[str] = "Read the run's log and try again."

    def __init__(self, message: str, facts: Facts = Facts(), next_step: str | None = None) -> None:
        super().__init__(message, facts, next_step)
        self.message = message
        self.facts = facts
        self.next_step = next_step or self.default_next_step

    @property
    def charged(self) -> Charged:
        """Whether money was spent: `yes`, `no` or `unknown`."""
        return self.facts.charged or self.charged_by_default

    def about(
        self, *, job_id: str | None = None, kling_task_id: str | None = None, charged: Charged | None = None
    ) -> Self:
        """Return this error with what a higher floor knows: the ids, and whether the job was paid for."""
        self.facts = replace(
            self.facts,
            job_id=job_id or self.facts.job_id,
            kling_task_id=kling_task_id or self.facts.kling_task_id,
            charged=charged or self.facts.charged,
        )
        self.args = (self.args[0], self.facts, *self.args[2:])
        return self

    def __str__(self) -> str:
        named = (
            ("job", self.facts.job_id),
            ("Kling task", self.facts.kling_task_id),
            ("HTTP", self.facts.http_status),
            ("service code", self.facts.service_code),
            ("request id", self.facts.request_id),
            ("charged:", self.charged),
        )
        known = ", ".join(f"{name} {value}" for name, value in named if value is not None)
        return f"{self.message} ({known}). Next: {self.next_step}"


class InvalidRequest(AvatarError):
    """The request breaks documented limits; all faults are reported together, nothing was sent."""

    default_next_step = "Correct the fields named above and run it again; nothing was charged."

    def __init__(
        self, faults: tuple[Fault, ...], facts: Facts = Facts(), next_step: str | None = None
    ) -> None:
        listed = "; ".join(f"({number}) {fault}" for number, fault in enumerate(faults, 1))
        super().__init__(f"The request cannot be sent: {listed}", facts, next_step)
        self.faults = faults
        self.args = (faults, facts, next_step)


class SetupMissing(AvatarError):
    """Something that the operator sets up once is not there, or cannot be used."""

    default_next_step = "Set up what the message names; the README's section on keys and blocks says how."


class SourceUnavailable(AvatarError):
    """An image or audio source could not be read; nothing was sent."""

    default_next_step = "Check that the worker may read it, then run it again; nothing was charged."


class Shortfall(NamedTuple):
    """A budget that has too little left.

    Attributes:
        budget: Which one, in words.
        left_usd: What is neither spent nor reserved, in US dollars.
        limit_usd: The whole of it.
        renewed: When it begins anew, in UTC, or `None` when it does not.
    """

    budget: str
    left_usd: Decimal
    limit_usd: Decimal
    renewed: datetime | None = None


class BudgetExceeded(AvatarError):
    """It would cost more than a budget has left; nothing was sent.

    Args:
        message: What it would cost, and what is left of which budget.
        facts: What is known about it.
        next_step: When the budget begins anew, or what else to do.
        price_usd: What it would cost, in US dollars.
        shortfalls: Each budget that has too little left.
    """

    default_next_step = "Wait for the next day or month, or raise the budget; nothing was charged."

    def __init__(
        self,
        message: str,
        facts: Facts = Facts(),
        next_step: str | None = None,
        price_usd: Decimal | None = None,
        shortfalls: tuple[Shortfall, ...] = (),
    ) -> None:
        super().__init__(message, facts, next_step)
        self.price_usd = price_usd
        self.shortfalls = shortfalls
        self.args = (message, facts, next_step, price_usd, shortfalls)


class PriceUnknown(BudgetExceeded):
    """Nobody can say what it would cost, and a budget applies; nothing was sent."""

    default_next_step = "Give the voice clip itself instead of an audio id, or run it without a budget."


class ProviderError(AvatarError):
    """CometAPI or Kling answered with an error, or did not answer."""


class RequestRejected(ProviderError):
    """The provider refused the request; nothing was bought."""

    default_next_step = "Correct the request as the message says; the same request will be refused again."


class ContentRefused(RequestRejected):
    """The provider's content check refused the image, the audio or the prompt."""

    default_next_step = "Change the image, the audio or the prompt; a person should look at them."


class AccessRefused(ProviderError):
    """The key, its rights or its address list do not allow this."""

    default_next_step = "Check the API key in the CometAPI Credentials block and the rights of the account."


class AccountExhausted(AccessRefused):
    """The account has no credit left, or is blocked: waiting does not help."""

    default_next_step = "Top up or unblock the CometAPI account, then run it again."


class SlowDown(ProviderError):
    """The provider is busy or this account has too many Kling tasks in flight; nothing was bought."""

    default_next_step = "Wait, then run it again; lower the number of jobs in flight if it persists."


class NotSent(ProviderError):
    """The request never left this machine, so nothing was bought."""

    default_next_step = "Check the network and the base URL of the CometAPI Credentials block."


class ProviderUnavailable(ProviderError):
    """A read got no usable answer. This says nothing about the Kling task."""

    charged_by_default = "unknown"
    default_next_step = "Run it again later; the job stays open and nothing is posted twice."


class TaskNotFound(ProviderError):
    """The provider says it knows no such Kling task."""

    charged_by_default = "unknown"
    default_next_step = "Check the query path of the CometAPI Credentials block and the account of the key."


class OutcomeUnknown(ProviderError):
    """A POST was sent and its answer is missing or makes no sense: it may have been bought."""

    charged_by_default = "unknown"
    default_next_step = "Do not post it again by hand; run it again, it is looked up first."


class JobError(AvatarError):
    """Where one wanted video stands."""


class TaskFailed(JobError):
    """Kling ran the task and reported failure. This is final for this take."""

    charged_by_default = "unknown"
    default_next_step = "Change the inputs, or ask for another take; the same take is not paid for again."


class JobOverdue(JobError):
    """Our deadline passed while the Kling task was still running. It is not lost."""

    charged_by_default = "yes"
    default_next_step = "Run it again, or let reconcile-jobs finish it; nothing is posted again."


class JobInProgress(JobError):
    """Another run holds the right to post this job at this moment."""

    charged_by_default = "unknown"
    default_next_step = "Run it again in a few minutes; it then adopts what the other run bought."


class NeedsDecision(JobError):
    """Nobody can tell whether the video was bought, so a person decides."""

    charged_by_default = "unknown"
    default_next_step = "Look for the external task id in the provider's console, then run the decide flow."


class JobGivenUp(JobError):
    """A person decided to give this take up."""

    charged_by_default = "unknown"
    default_next_step = "Ask for another take if the video is still wanted."


class TaskIdNotRecorded(JobError):
    """The video was bought, but its Kling task id could not be written to the journal."""

    charged_by_default = "yes"
    default_next_step = "Repair the archive, then run the decide flow and adopt this Kling task id."


class ClipError(AvatarError):
    """The delivered video is not in the archive yet. It is paid for and not lost."""

    charged_by_default = "yes"


class ClipUnavailable(ClipError):
    """The delivery link is dead or its host does not answer."""

    default_next_step = (
        "Run it again, or let reconcile-jobs do it: a fresh link is asked for, never a new video."
    )


class ClipRejected(ClipError):
    """The delivered bytes are not the whole, right video, so they were not published."""

    default_next_step = "Run it again to download it anew; the file is kept aside for inspection."


class StorageError(AvatarError):
    """The archive did not do what was asked."""


class StorageUnavailable(StorageError):
    """The archive did not answer or refused."""

    charged_by_default = "unknown"
    default_next_step = "Check the Avatar Archive block: URL, endpoint, keys and rights; then run it again."


class NoExclusiveCreate(StorageError):
    """The archive cannot create an object only if it is absent, so it cannot hold the journal."""

    default_next_step = "Use a store with conditional writes, or set the block to a single worker."
