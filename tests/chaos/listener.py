# SPDX-License-Identifier: Apache-2.0
"""Somebody who listens to all events of the shop, on a durable queue, and writes down what came in which order."""

import json
import threading
import time

import pika

EXCHANGE = "bodega.events"
QUEUE = "chaos"


class Listener(threading.Thread):
    """Goes on until it is stopped, with another connection when one ends; what was not acknowledged comes again."""

    def __init__(self, rabbitmq):
        super().__init__(daemon=True)
        self.parameters = pika.URLParameters(rabbitmq.url())
        self.heard, self.ending, self.listening = [], threading.Event(), threading.Event()

    def run(self):
        while not self.ending.is_set():
            try:
                with pika.BlockingConnection(self.parameters) as connection:
                    self.listen(connection.channel())
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.1)

    def listen(self, channel):
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        channel.queue_declare(QUEUE, durable=True)
        channel.queue_bind(QUEUE, EXCHANGE, "#")
        self.listening.set()
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=0.2):
            if method is not None:
                self.heard.append(json.loads(body))
                channel.basic_ack(method.delivery_tag)
            if self.ending.is_set():
                return

    def stop(self):
        self.ending.set()
        self.join(30)


def compare(shop, heard):
    """Every event of the outboxes has come, and the first comings of a subject's are in order; complaints."""
    complaints = []
    for service in ("orders", "products"):
        mine = [event for event in heard if event["source"] == "/" + service]
        came = {(event["subject"], int(event["sequence"])) for event in mine if "sequence" in event}
        written = shop.postgres.sql("SELECT subject, sequence, type FROM outbox WHERE sequence IS NOT NULL ORDER BY id", service + "_db")
        missing = [(subject, sequence, kind) for subject, sequence, kind in written if (subject, int(sequence)) not in came]
        complaints += [f"the event {kind} of {subject}, sequence {sequence}, never came" for subject, sequence, kind in missing[:10]]
        last = {}
        for event in mine:
            if "sequence" in event:
                sequence, before = int(event["sequence"]), last.get(event["subject"], 0)
                if sequence > before + 1:
                    complaints.append(f"event {sequence} of {event['subject']} came after {before}")
                last[event["subject"]] = max(before, sequence)
    return complaints
