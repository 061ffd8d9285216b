# SPDX-License-Identifier: Apache-2.0
"""A release of the chart on a real cluster, through kubectl and helm as people use them. Each has a namespace of its own,
on which Pod Security "restricted" is enforced."""

import contextlib
import json
import os
import socket
import subprocess
import time

from servers import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(ROOT, "charts/bodega")
TAG = os.environ.get("TAG", "0.1.0")
BACKING_TAG = os.environ.get("BACKING_TAG", "0.1.0")
NEXT_TAG = os.environ.get("NEXT_TAG", TAG + "-next")
PROGRAMS = ("gateway", "users", "products", "orders", "payments")
SERVERS = ("postgresql", "redis", "rabbitmq")
NODE_PORT = {"services.gateway.service.type": "NodePort"}
# From `helm install` to the last pod; more where many others work on the same machine.
READY_SECONDS = int(os.environ.get("READY_SECONDS", "60"))


def run(*command, text=None, timeout=300):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_for(true, seconds, what):
    """Asks until it is so; the answer. Fails with what was hoped for."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.5)
    return answer


class Namespace:
    """A namespace that is made anew, and what kubectl says of it."""

    def __init__(self, name):
        self.name = name

    def make(self):
        self.delete()
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": self.name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
        return self

    def delete(self):
        run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--wait", "--timeout=180s")

    def kubectl(self, *arguments, text=None, timeout=300):
        return run("kubectl", "--namespace", self.name, *arguments, text=text, timeout=timeout)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def apply(self, *objects):
        self.kubectl("apply", "--filename", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def pods(self, component=None):
        selector = "app.kubernetes.io/component" + (f"={component}" if component else "")
        return [pod for pod in self.get("pods", "--selector", selector)["items"] if "deletionTimestamp" not in pod["metadata"]]

    def refusals(self):
        """What was not let in, or in another than its own way: events that say so."""
        return [event["message"] for event in self.get("events")["items"]
                if event["reason"] in ("FailedCreate", "Killing") and "violates PodSecurity" in event["message"]]


class Release(Namespace):
    """The release "bodega" in a namespace, of the profile for development."""

    def helm(self, *arguments, timeout=300):
        return run("helm", "--namespace", self.name, *arguments, timeout=timeout)

    def options(self, tag, values):
        pairs = {"image.tag": tag, "backing.image.tag": BACKING_TAG, **(values or {})}
        return ["--values", os.path.join(CHART, "values-dev.yaml"),
                *(part for key, value in pairs.items() for part in ("--set", f"{key}={value}"))]

    def install(self, *options, tag=TAG, values=None):
        self.helm("install", "bodega", CHART, *self.options(tag, values), *options)

    def upgrade(self, *options, tag=TAG, values=None):
        self.helm("upgrade", "bodega", CHART, *self.options(tag, values), *options)

    def wait_ready(self, seconds=READY_SECONDS):
        """Until every pod of the Deployments and StatefulSets is there, ready, and of the newest revision."""
        return wait_for(lambda: not self.unready(), seconds, self.unready)

    def unready(self):
        found = []
        for thing in self.get("deployments,statefulsets")["items"]:
            status, wanted = thing["status"], thing["spec"]["replicas"]
            ready = (status.get("readyReplicas", 0), status.get("updatedReplicas", 0), status.get("replicas", 0))
            if ready != (wanted, wanted, wanted) or status.get("observedGeneration") != thing["metadata"]["generation"]:
                found.append(f"{thing['metadata']['name']}: {ready} of {wanted}")
        return found

    def restarts(self):
        return {pod["metadata"]["name"]: count for pod in self.pods() for status in pod["status"].get("containerStatuses", [])
                if (count := status["restartCount"])}

    def test(self):
        try:
            self.helm("test", "bodega")
        except Failed as failed:
            raise Failed(f"{failed}\n{self.kubectl('logs', 'bodega-test')}") from None
        return self.kubectl("logs", "bodega-test")

    def secrets(self):
        return self.get("secret", "bodega")["data"]

    def wait_for_file(self, pod, key, text):
        """Until the kubelet has brought a changed secret into the pod: up to a minute or two."""
        read = lambda: self.kubectl("exec", f"bodega-{pod}", "--", "cat", f"/etc/bodega/secrets/{key}")
        wait_for(lambda: read() == text, 180, f"{key} in {pod}")

    def bodegactl(self, *arguments):
        """Runs it in the cluster, where the migrations run, so with their way to the databases; its output."""
        job = self.get("jobs", "--selector", "app.kubernetes.io/component=migrations")["items"][0]["spec"]["template"]
        spec = job["spec"]
        name = f"bodegactl-{time.monotonic_ns()}"
        spec["containers"][0] |= {"command": ["/usr/local/bin/bodegactl", *arguments]}
        labels = {key: value for key, value in job["metadata"]["labels"].items() if key.startswith("app.kubernetes.io/")}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec})
        phase = wait_for(lambda: (phase := self.get("pod", name)["status"]["phase"]) in ("Succeeded", "Failed") and phase,
                         60, f"bodegactl {' '.join(arguments)}")
        output = self.kubectl("logs", name)
        self.kubectl("delete", "pod", name, "--wait=false")
        if phase == "Failed":
            raise Failed(f"bodegactl {' '.join(arguments)}: {output}")
        return output

    def verify(self):
        """Fails when orders, stock and payments disagree."""
        self.bodegactl("verify")

    @contextlib.contextmanager
    def forward(self, target="service/bodega-gateway", port="http"):
        """A way in from here; the URL."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            free = s.getsockname()[1]
        process = subprocess.Popen(["kubectl", "--namespace", self.name, "port-forward", target, f"{free}:{port}"],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            line = process.stdout.readline()
            if "Forwarding from" not in line:
                raise Failed(f"port-forward {target}: {line}{process.stdout.read()}")
            yield f"http://127.0.0.1:{free}"
        finally:
            process.terminate()
            process.wait()
