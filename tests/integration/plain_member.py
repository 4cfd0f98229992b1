# SPDX-License-Identifier: Apache-2.0
"""A member of a cluster that knows the documented endpoints only: passes requests to the real API
of its node and answers others as unknown. Runs on a lab node; LOG gets a line per request."""
import http.client
import http.server
import json
import ssl
import sys

LOG = open(sys.argv[1], 'w', buffering=1)
KEY = '/etc/pve/local/pve-ssl'


class Plain(http.server.BaseHTTPRequestHandler):
    def serve(self):
        size = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(size) if size else None
        LOG.write(f'{self.command} {self.path}\n')
        if 'join2' in self.path:
            self.answer(501, b'{"data":null,"message":"not implemented"}')
            return
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ('host', 'connection')}
        upstream = http.client.HTTPSConnection('127.0.0.1', 8006,
                                               context=ssl._create_unverified_context())
        upstream.request(self.command, self.path, body, headers)
        got = upstream.getresponse()
        data = got.read()
        if self.path.endswith('/cluster/config') and got.status == 200:
            index = json.loads(data)
            index['data'] = [entry for entry in index['data'] if entry['name'] != 'join2']
            data = json.dumps(index).encode()
        self.answer(got.status, data)

    do_GET = do_POST = do_DELETE = serve

    def answer(self, status, data):
        self.send_response(status)
        self.send_header('Content-Type', 'application/json;charset=UTF-8')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = http.server.ThreadingHTTPServer(('', 8007), Plain)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(KEY + '.pem', KEY + '.key')
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
