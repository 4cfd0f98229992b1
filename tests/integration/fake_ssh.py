# SPDX-License-Identifier: Apache-2.0
"""Stands in for ssh between two nodes of a lab, which share no control terminal: `serve` runs what
it is told; any other arguments are those of `ssh -T -- root@HOST COMMAND`. For tests only."""
import json
import socket
import socketserver
import subprocess
import sys

PORT = 2222


class Serve(socketserver.StreamRequestHandler):
    def handle(self):
        asked = json.loads(self.rfile.readline())
        done = subprocess.run(['sh', '-c', asked['command']], capture_output=True, check=False,
                              input=bytes.fromhex(asked['input']))
        print(asked['command'], done.returncode, done.stderr.decode(errors='replace'), flush=True)
        self.wfile.write(json.dumps({'status': done.returncode,
                                     'output': done.stdout.hex()}).encode() + b'\n')


def main(words):
    if words == ['serve']:
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer(('', PORT), Serve).serve_forever()
    host, command = words[-2].removeprefix('root@'), words[-1]
    with socket.create_connection((host, PORT), timeout=60) as connection:
        request = {'command': command, 'input': sys.stdin.buffer.read().hex()}
        connection.sendall(json.dumps(request).encode() + b'\n')
        answer = json.loads(connection.makefile().readline())
    sys.stdout.buffer.write(bytes.fromhex(answer['output']))
    return answer['status']


sys.exit(main(sys.argv[1:]))
