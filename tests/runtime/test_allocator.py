import subprocess
import sys

import pytest

ALLOCATE = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from mal.runtime.allocator import keep_freed_memory
    keep_freed_memory()
def touch():
    np.ones(2**22)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(choice: str) -> int:
    run = subprocess.run([sys.executable, "-c", ALLOCATE, choice], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_memory_that_is_allocated_again_causes_no_page_faults_once_it_is_kept() -> None:
    assert 5 * page_faults("keep") < page_faults("leave")  # how many these are depends on the size of pages
