"""nbgrader, run in this folder. What students get is committed in student/ (nbgrader's release)."""

from pathlib import Path

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "dga"
c.CourseDirectory.root = str(Path(__file__).parent)
c.CourseDirectory.release_directory = "student"
# Inside a function this returns None, and outside it does nothing: both are told from an answer.
c.ClearSolutions.code_stub = {"python": "...  # your code"}
c.ClearSolutions.text_stub = "*Your answer*"
