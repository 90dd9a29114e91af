"""The command: help, exit status, one sentence for an error, Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from netvlad_core.cli import COMMANDS, _parser, main
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import PACKAGED_NETWORK
from support.street import street, write_catalogue

_ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_that_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    example = text.rpartition("example:\n")[2].strip()
    assert example.startswith(f"netvlad {command} ")
    assert max(map(len, text.splitlines())) <= 80
    _parser().parse_args(shlex.split(example.replace("\\\n", " "))[1:])


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "build-map" in capsys.readouterr().err


def test_help_and_mistakes_need_no_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from netvlad_core.cli import main; main(['build-map'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "--output" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "nowhere"], ["nowhere"]),
        (["build-map", "nowhere", "--output", "map"], ["nowhere"]),
        (["localize", "nowhere", "nowhere", "--output", "x.csv"], ["no map", "nowhere"]),
        (["evaluate", "nowhere", "nowhere"], ["no map", "nowhere"]),
        (["fit", "nowhere", "--output", "w"], ["nowhere"]),
        (["train", "--config", "nowhere.toml"], ["nowhere.toml"]),
    ],
)
def test_error_is_one_sentence_and_status_1(
    arguments: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"netvlad {arguments[0]}: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words)
    assert list(tmp_path.iterdir()) == []


def test_the_reference_names_every_command() -> None:
    page = (_ROOT / "docs" / "reference" / "command_line.md").read_text()
    assert [name for name in COMMANDS if f"\n    netvlad {name} " not in page] == []


def test_debug_shows_the_traceback_before_the_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "nowhere", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.splitlines()[-1].startswith("netvlad inspect: ")


def test_a_reader_that_has_seen_enough_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "netvlad_core", "inspect", str(PACKAGED_NETWORK)]
    done = subprocess.run(
        command, cwd=_ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_shell_completes_commands_and_options() -> None:
    pytest.importorskip("argcomplete")

    def completions(line: str) -> list[str]:
        asked = {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        }
        # The answer goes to file descriptor 8, as argcomplete's shell function expects it.
        command = ["bash", "-c", f"{shlex.quote(sys.executable)} -m netvlad_core 8>&1 1>&2"]
        done = subprocess.run(
            command, cwd=_ROOT, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60
        )
        return [answer.strip() for answer in done.stdout.split("\n")]

    assert completions("netvlad eval") == ["evaluate", "evaluate-set"]
    assert completions("netvlad build-map drive/ --every") == ["--every-image"]


def test_ros2_run_has_a_program_for_every_command() -> None:
    cmake = (_ROOT / "CMakeLists.txt").read_text()
    programs = cmake.partition("foreach(program")[2].partition(")")[0].split()
    commands = {name.replace("-", "_") for name in COMMANDS}
    assert sorted(programs) == sorted(commands | {"localize_node", "loop_closure_node"})
    assert (_ROOT / "netvlad_ros" / "executables" / "executable").stat().st_mode & 0o111


def test_program_runs_the_command_that_its_name_says(tmp_path: Path) -> None:
    program = tmp_path / "build_map"
    program.symlink_to(_ROOT / "netvlad_ros" / "executables" / "executable")
    command = [sys.executable, str(program), "--help", "--ros-args", "-r", "__ns:=/robot1"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "netvlad build-map" in done.stdout


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, checkpoint: Path) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=2, metres=300), range(300))
    output = tmp_path / "map"
    command = [sys.executable, "-m", "netvlad_core", "build-map", str(drive), "--output", str(output)]
    command += ["--weights", str(checkpoint), "--quiet"]
    journal = tmp_path / ".map.partial" / "journal.jsonl"
    process = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True)
    deadline = monotonic() + 60
    while not (journal.is_file() and journal.stat().st_size) and monotonic() < deadline:
        sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continues where this one stopped" in err
    assert "Traceback" not in err
    assert not output.exists()
    assert main(command[3:]) == 0
    assert len(PlaceMap.open(output, verify=True)) == 300
