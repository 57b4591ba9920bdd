"""Checks the manifest for KubeRay against the fields that its reference documents: ``… kuberay_fields FILE``.

The fields are those of https://ray-project.github.io/kuberay/reference/api/ and of Kubernetes' pod template.
"""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # Ray brings it

from lipstream.realtime.settings import read_settings

CLUSTER = {
    "suspend", "managedBy", "autoscalerOptions", "headServiceAnnotations", "enableInTreeAutoscaling",
    "gcsFaultToleranceOptions", "headGroupSpec", "rayVersion", "workerGroupSpecs",
}  # fmt: skip
AUTOSCALER = {
    "resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds", "upscalingMode", "version",
    "env", "envFrom", "volumeMounts",
}  # fmt: skip
HEAD = {"template", "headService", "enableIngress", "rayStartParams", "serviceType"}
WORKERS = {
    "suspend", "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "rayStartParams",
    "template", "scaleStrategy", "numOfHosts",
}  # fmt: skip
POD = {
    "hostNetwork", "dnsPolicy", "terminationGracePeriodSeconds", "affinity", "securityContext", "containers", "volumes",
}  # fmt: skip
CONTAINER = {
    "name", "image", "command", "args", "env", "ports", "securityContext", "resources", "volumeMounts", "lifecycle",
}  # fmt: skip
START = {"num-cpus", "disable-usage-stats"}


def fields(found: dict[str, Any], known: set[str], where: str) -> None:
    unknown = found.keys() - known
    assert not unknown, f"{where}: {sorted(unknown)}"


def check(cluster: dict[str, Any]) -> str:
    """Check a RayCluster, and return the launcher's command."""
    fields(cluster, {"apiVersion", "kind", "metadata", "spec"}, "RayCluster")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    fields(spec, CLUSTER, "spec")
    fields(spec["autoscalerOptions"], AUTOSCALER, "autoscalerOptions")
    head, (workers,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    fields(head, HEAD, "headGroupSpec")
    fields(workers, WORKERS, "workerGroupSpecs")
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        fields(group["rayStartParams"], START, "rayStartParams")
        fields(group["template"], {"metadata", "spec"}, "template")
        pod = group["template"]["spec"]
        fields(pod, POD, "pod")
        (container,) = pod["containers"]
        fields(container, CONTAINER, "container")
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
        assert "$KUBERAY_GEN_RAY_START_CMD" in container["args"][0]
    (command,) = re.findall(
        r"lipstream (--cluster.*?)\n *sleep", head["template"]["spec"]["containers"][0]["args"][0], re.DOTALL
    )
    return str(command)


def main() -> None:
    cluster, service = yaml.safe_load_all(Path(sys.argv[1]).read_text())
    settings = read_settings(shlex.split(check(cluster).replace("\\\n", " ")), {})
    group = cluster["spec"]["workerGroupSpecs"][0]
    assert settings.cluster_workers == (group["minReplicas"], group["maxReplicas"])
    assert settings.grace_s < group["template"]["spec"]["terminationGracePeriodSeconds"]
    (port,) = service["spec"]["ports"]
    for one in (cluster["spec"]["headGroupSpec"], group):
        assert service["spec"]["selector"].items() <= one["template"]["metadata"]["labels"].items()
        ports = {named["name"]: named["containerPort"] for named in one["template"]["spec"]["containers"][0]["ports"]}
        assert ports[port["targetPort"]] == settings.port
    print("2 documents, the launcher's options are read")


if __name__ == "__main__":
    main()
