"""Builds the wheel of this distribution, as PEP 517 has it, and takes its time where it is told to.

Where the file is there that `slow.txt` names, a build takes it for itself: it writes its processes
into PATH.taken, and goes on when somebody removes that. As with a compiler, a process below it is
busy with it.
"""

import os
import subprocess
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
INFO = "demo_app-1.0.dist-info"
WAIT = 'while [ -e "$1" ]; do sleep 0.05; done'


def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open(os.path.join(HERE, "slow.txt")) as file:
        slow = file.read()
    if os.path.exists(slow):
        wait(slow)
    name = "demo_app-1.0-py3-none-any.whl"
    files = {
        "demo/__init__.py": "def main():\n    print('demo')\n",
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: demo-app\nVersion: 1.0\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{INFO}/RECORD"] = "".join(f"{it},,\n" for it in files) + f"{INFO}/RECORD,,\n"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(zipfile.ZipInfo(path), text)
    return name


def wait(slow):
    taken = slow + ".taken"
    # Its own processes wait for the same file, so it is there before they are told of.
    os.rename(slow, taken)
    child = subprocess.Popen(["sh", "-c", WAIT, "sh", taken])
    with open(taken + ".new", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(taken + ".new", taken)
    child.wait()
