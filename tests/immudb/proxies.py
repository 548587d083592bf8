"""What stands between a client and its server, and may lie."""

import uuid
from concurrent import futures

import grpc

from backendkit.dbdev import ports


class Proxy(grpc.GenericRpcHandler):
    """
    A server that hands on every call, and may change the answers.

    :attr change: called with the method's name and an answer's bytes; returns bytes.
    """

    def __init__(self, target):
        self.change = None
        self.changed = 0
        any_size = ("grpc.max_receive_message_length", -1)
        self.target = grpc.insecure_channel(target, options=[any_size])
        # Two that share a port would share its clients.
        options = [("grpc.so_reuseport", 0)]
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=options)
        self.server.add_generic_rpc_handlers([self])
        port = ports.choose(uuid.uuid4().hex)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def close(self):
        self.server.stop(None).wait()
        self.target.close()

    def service(self, details):
        # One stream or one message: on the wire it is the same.
        call = self.target.stream_stream(details.method)
        name = details.method.rpartition("/")[2]

        def answer(requests, context):
            passed = [
                (key, value)
                for key, value in context.invocation_metadata()
                if not key.startswith(("grpc-", "user-agent", ":"))
            ]
            left = context.time_remaining()
            # No limit comes as one of centuries, which can't be set.
            timeout = left if left < 1e6 else None
            made = call(requests, timeout=timeout, metadata=passed)
            try:
                for message in made:
                    sent = self.change(name, message) if self.change else message
                    self.changed += sent != message
                    yield sent
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                context.abort(error.code(), error.details())

        return grpc.stream_stream_rpc_method_handler(answer)
