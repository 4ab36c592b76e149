# SPDX-License-Identifier: Apache-2.0
"""A gRPC server with the health service of the gRPC project; prints its ports: with that service,
without any, and one that does not answer. Ends with its standard input."""
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


end = threading.Event()


class Slow(health_pb2_grpc.HealthServicer):
    def Check(self, request, context):
        end.wait()
        return health_pb2.HealthCheckResponse()


def server(servicer):
    s = grpc.server(futures.ThreadPoolExecutor(2))
    if servicer:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, s)
    port = s.add_insecure_port("127.0.0.1:0")
    s.start()
    return s, port


real = health.HealthServicer()
SERVING, NOT_SERVING = (health_pb2.HealthCheckResponse.SERVING,
                        health_pb2.HealthCheckResponse.NOT_SERVING)
real.set("", SERVING)
real.set("up", SERVING)
real.set("down", NOT_SERVING)
real.set("x" * 300, SERVING)
servers = [server(real), server(None), server(Slow())]
print(*(port for _, port in servers), flush=True)
for line in sys.stdin:
    name, state = line.split()
    real.set(name, SERVING if state == "up" else NOT_SERVING)
    print("set", flush=True)
end.set()
for s, _ in servers:
    s.stop(0)
