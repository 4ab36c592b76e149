/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"

/*
 * The ports that a pod declares for a container, as a kubelet hands them down in the annotation
 * io.kubernetes.container.ports: a JSON list of objects with "containerPort", "protocol" and "name"
 * (kubernetes/pkg/kubelet/kuberuntime/labels.go; the struct is v1.ContainerPort).
 */
#define DECLARED_PORTS_ANNOTATION "io.kubernetes.container.ports"

/* Where an HTTP service is to listen: the TCP port that is named "http", else the first one; 0 when
 * there is none. A text that is none of a kubelet's: "BadPorts". */
int declared_port(const char *json, unsigned *ret, struct err *e);
