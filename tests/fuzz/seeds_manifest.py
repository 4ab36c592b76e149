#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""seeds_manifest.py DIR: manifests for fuzz_manifest to begin with: each kind, and most fields of a Pod."""
import os
import sys

SEEDS = {
    "pod": """apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web}
  annotations: {wherry.dev/allow-net: "db:5432, 10.0.0.0/8:*", wherry.dev/scale.a: "8", wherry.dev/invoke.a: run}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 5
  activeDeadlineSeconds: 100
  hostAliases: [{ip: 10.1.2.3, hostnames: [a.b]}]
  tolerations: [{operator: Exists}]
  initContainers:
  - {name: i, image: 'a:1', restartPolicy: Always}
  containers:
  - name: a
    image: ./app.wasm
    command: [a]
    args: ["-x"]
    ports: [{name: http, containerPort: 80, hostPort: 80}]
    envFrom: [{configMapRef: {name: c}}, {secretRef: {name: s, optional: true}}]
    env:
    - {name: A, value: "$(B)"}
    - {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: D, valueFrom: {secretKeyRef: {name: s, key: k}}}
    resources: {limits: {cpu: 0.5, memory: 64Mi}, requests: {cpu: 100m}}
    volumeMounts: [{name: v, mountPath: /v, subPath: a/b, readOnly: true}]
    livenessProbe: {httpGet: {port: http, path: /x}, periodSeconds: 3}
    readinessProbe: {grpc: {port: 81}}
    lifecycle: {preStop: {sleep: {seconds: 1}}, postStart: {exec: {command: [x]}}}
    securityContext: {readOnlyRootFilesystem: true}
""",
    "volumes": """{apiVersion: v1, kind: Pod, metadata: {name: v}, spec: {containers: [{name: a, image: a}], volumes: [
{name: a, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: b, hostPath: {path: /x, type: File}},
{name: c, configMap: {name: c, items: [{key: a, path: b, mode: 0400}]}}, {name: d, secret: {secretName: d}},
{name: e, downwardAPI: {items: [{path: x, fieldRef: {fieldPath: metadata.labels}}]}},
{name: f, projected: {sources: [{secret: {name: s}}]}}, {name: g, persistentVolumeClaim: {claimName: g}}]}}
""",
    "list": '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap",'
            '"metadata":{"name":"a"},"data":{"a":"b\\n"},"binaryData":{"c":"AAE="},"immutable":true}]}',
    "others": """apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {a: x}
data: {b: eA==}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: &m {name: p}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1.5Gi}}
--- # nothing
--- {apiVersion: v1, kind: ConfigMap, metadata: {<<: {name: c}}, data: {yes: "a", 0x1f: |
  text
}}
""",
}

os.makedirs(sys.argv[1], exist_ok=True)
for name, text in SEEDS.items():
    with open(os.path.join(sys.argv[1], "seed_" + name), "w", encoding="utf-8") as f:
        f.write(text)
