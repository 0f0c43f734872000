"""A journal of jobs in an output folder and the workers that do them, for the app and the batch."""

from .job import Job, State, job_key
from .journal import FullError, Journal
from .session_runner import SessionRunner, warm_session
from .start import Worker, start_worker
from .work import GaveWay, MakeRunner, Report, Runner, work

__all__ = [
    "FullError",
    "GaveWay",
    "Job",
    "Journal",
    "MakeRunner",
    "Report",
    "Runner",
    "SessionRunner",
    "State",
    "Worker",
    "job_key",
    "start_worker",
    "warm_session",
    "work",
]
