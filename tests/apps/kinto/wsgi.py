"""Kinto for a WSGI server, set up by the node's kinto.ini beside this file."""

from pathlib import Path

from pyramid.paster import get_app, setup_logging

SETTINGS = str(Path(__file__).with_name("kinto.ini"))

setup_logging(SETTINGS)
application = get_app(SETTINGS)
