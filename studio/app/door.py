"""The password, when others can reach the app."""

from __future__ import annotations

import hmac
import os
import time
from threading import Lock

import streamlit as st

from .launch import PASSWORD

__all__ = ["admitted"]

_WAIT_S = 1.0  # after each try, one at a time: guessing is slow


def admitted() -> bool:
    """Whether this visitor has given the password; asks for it otherwise."""
    if st.session_state.get("admitted"):
        return True
    with st.form("door", width=360):
        given = st.text_input("Password", type="password")
        asked = st.form_submit_button("Open", type="primary")
    if asked:
        with _turnstile():
            time.sleep(_WAIT_S)
        right = os.environ.get(PASSWORD, "")
        if right and hmac.compare_digest(given.encode(), right.encode()):
            st.session_state.admitted = True
            st.rerun()
        st.error("That is not the password.")
    return False


@st.cache_resource(show_spinner=False)
def _turnstile() -> Lock:
    return Lock()
