"""A journal of jobs in an output folder and the workers that do them, for the app and the batch."""

from .job import Job, State, job_key
from .journal import FullError, Journal
from .session_runner import SessionRunner, make_session_runner
from .start import Worker, start_worker
from .work import MakeRunner, Report, Runner, work

__all__ = [
    "FullError",
    "Job",
    "Journal",
    "MakeRunner",
    "Report",
    "Runner",
    "SessionRunner",
    "State",
    "Worker",
    "job_key",
    "make_session_runner",
    "start_worker",
    "work",
]
