"""A real Graphite web application over one fresh Whisper file: `serve.py STORAGE`. Prints its port. PYTHONPATH has its Debian packages."""
import os
import sys
import time
import types
from unittest import mock
from wsgiref.simple_server import WSGIRequestHandler, make_server

storage = sys.argv[1]
for folder in ('whisper/shop', 'log/webapp'):
    os.makedirs(os.path.join(storage, folder), exist_ok=True)

# Draws pictures, which nobody asks for here; it would need a C library that no machine must have.
sys.modules['cairocffi'] = mock.MagicMock()

settings = types.ModuleType('contract_settings')
settings.SECRET_KEY = 'contract-test'
settings.ALLOWED_HOSTS = ['*']
sys.modules['contract_settings'] = settings
os.environ.update(GRAPHITE_SETTINGS_MODULE='contract_settings', GRAPHITE_STORAGE_DIR=storage, DJANGO_SETTINGS_MODULE='graphite.settings')

import whisper

now = int(time.time())
for name, points in {'errors': [(now - 60, 1.0), (now - 30, 2.5)], 'idle': []}.items():
    path = os.path.join(storage, 'whisper/shop', name + '.wsp')
    whisper.create(path, [(10, 360)])
    whisper.update_many(path, points)

from django.core.wsgi import get_wsgi_application


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server('127.0.0.1', 0, get_wsgi_application(), handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
