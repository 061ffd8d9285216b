#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What kubectl answers to bodegactl's plugin, over a shop on this machine: STUB names a JSON file with the pods, their
environments and ports. A pod that is created runs when its log is read. Calls are written to calls beside it."""

import json
import os
import subprocess
import sys

INSIDE = "/usr/local/bin/bodegactl"


def run(stub, command, environment):
    assert command[0] == INSIDE, command
    words = [stub["urls"].get(word, word) for word in command[1:]]
    return subprocess.run([stub["bodegactl"], *words], env=environment, check=False).returncode


def get(stub, folder, words):
    if words[0] == "pods":
        assert "--field-selector=status.phase=Running" in words
        wanted = dict(pair.split("=") for pair in words[1].removeprefix("--selector=").split(","))
        release = wanted.get("app.kubernetes.io/instance")
        for pod, (of, component, _) in stub["pods"].items():
            if release in (None, of):
                print(of, component, pod)
    elif words[0] == "jobs":
        print(json.dumps(stub["job"], separators=(",", ":")) if stub["job"] else "", end="")
    elif "phase" in words[2]:
        print("Succeeded" if os.path.exists(os.path.join(folder, "exit")) else "Running", end="")
    else:
        with open(os.path.join(folder, "exit"), encoding="ascii") as file:
            print(file.read(), end="")


def main():
    path = os.environ["STUB"]
    folder = os.path.dirname(path)
    with open(path, encoding="utf-8") as file:
        stub = json.load(file)
    words = sys.argv[1:]
    with open(os.path.join(folder, "calls"), "a", encoding="utf-8") as calls:
        calls.write(" ".join(words) + "\n")
    while words[0] in ("--namespace", "-n", "--context"):
        words = words[2:]
    verb, rest = words[0], words[1:]
    if verb == "get":
        get(stub, folder, rest)
    elif verb == "exec":
        pod, _, *command = [word for word in rest if word != "--stdin"]
        return run(stub, command, stub["pods"][pod][2])
    elif verb == "create":
        with open(os.path.join(folder, "pod"), "w", encoding="utf-8") as file:
            file.write(sys.stdin.read())
        print("bodegactl-x", end="")
    elif verb == "logs":
        with open(os.path.join(folder, "pod"), encoding="utf-8") as file:
            container = json.load(file)["spec"]["containers"][0]
        environment = {variable["name"]: variable["value"] for variable in container["env"]}
        with open(os.path.join(folder, "exit"), "w", encoding="ascii") as file:
            file.write(str(run(stub, container["command"], environment)))
    else:
        assert verb == "delete", words
    return 0


if __name__ == "__main__":
    sys.exit(main())
