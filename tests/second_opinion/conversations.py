"""All conversations: what is said, and what AWS documents.

Expectations come from the AWS IoT Core developer guide and the API references, never from the
output of a server. Where these are silent there is `OPEN`; where only the words are free, `WORDS`.
"""

from __future__ import annotations

from typing import Final

from tests.second_opinion.jobs import JOBS
from tests.second_opinion.provisioning import PROVISIONING
from tests.second_opinion.retained import RETAINED_MESSAGES
from tests.second_opinion.shadows import SHADOWS

CONVERSATIONS: Final = (*SHADOWS, *JOBS, *PROVISIONING, RETAINED_MESSAGES)
